/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parking.h: the queues of tasks that are held at their return to user mode.
 *
 * A task that is to be held is preempted there, with `parking` set (bpf/governor.bpf.c). It may not
 * migrate at that point, so there is a park queue for each CPU. On it a task is runnable for the
 * kernel, but gets no CPU, and does not count as active for the shares of others. Every 4 ms the timer
 * looks at all who are parked, and releases whose quantum is over, who must go (a signal, a freeze),
 * and who has no reason to be held any more; the CPU then takes them over in `dispatch`. (Moved by
 * the timer itself to an idle CPU, a task starts with that CPU's old clock, and cpu.stat counts the
 * time it was parked as used: seen on 7.2.) A CPU that goes offline dispatches nothing, and waits for
 * tasks that may not leave it: the timer moves all of its.
 */
#ifndef AGENTCG_PARKING_H
#define AGENTCG_PARKING_H

#include "shares.h"
#include "park.h"

#define PARKED 0x10000ull /* + CPU: its park queue */
#define FOREVER (1ull << 60) /* ns: until it is relieved */

/* Whether a task that is enqueued is at the user boundary, to be held there. */
static __always_inline bool to_park(struct task_struct *task, struct hold *hold, __u64 now)
{
	return hold && hold->parking && hold->until > now && !must_go(task);
}

static __always_inline void park(struct task_struct *task, struct hold *hold, __s32 cpu,
				 struct cgroup *cgroup, __u64 flags)
{
	struct state *state = state_of();

	if (!__sync_lock_test_and_set(&hold->parked, 1)) {
		if (state)
			__sync_fetch_and_add(&state->parked, 1);
		activity(cgroup, false);
	}
	scx_bpf_dsq_insert_vtime(task, PARKED + cpu, SLICE, hold->until, flags);
}

/* Whether the task was parked; it is not any more. */
static __always_inline bool was_parked(struct task_struct *task)
{
	struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);
	struct state *state = state_of();

	if (!hold || !__sync_lock_test_and_set(&hold->parked, 0))
		return false;
	if (state)
		__sync_fetch_and_add(&state->parked, -1);
	return true;
}

/* Whether there is again what a held task waits for. */
static __always_inline bool relieved(struct task_struct *task, struct hold *hold)
{
	if (hold->reason == HOLD_MEMORY)
		return room_again(task, hold);
	return !out_of_quota(task->cgroups->dfl_cgrp, bpf_ktime_get_ns());
}

/* Hold a thread whose cgroup, or one above it, has used up its quota, until that is over. */
static __always_inline void hold_to_quota(struct task_struct *task, struct cgroup *cgroup, __u64 now)
{
	struct member *member;
	struct hold *hold;

	/* Those that never return to user mode are charged, and not held. */
	if ((task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)) || must_go(task) ||
	    !out_of_quota(cgroup, now))
		return;
	hold = bpf_task_storage_get(&holds, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	member = bpf_cgrp_storage_get(&members, task->cgroups->dfl_cgrp, 0, 0);
	if (hold && !hold->pending)
		delay_at_exit(task, hold, HOLD_CPU, member ? member->call : 0, cgroup->kn->id, SLOTS / 4,
			      FOREVER);
}

/* Note whom a CPU has on its park queue whose quantum is over, or who may not be kept; any? */
static __always_inline bool release(__s32 cpu, bool all)
{
	__u64 now = bpf_ktime_get_ns();
	struct bpf_iter_scx_dsq it;
	struct task_struct *task;
	bool any = false;

	bpf_rcu_read_lock();
	if (!bpf_iter_scx_dsq_new(&it, PARKED + cpu, 0)) {
		while ((task = bpf_iter_scx_dsq_next(&it))) {
			struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);

			if (!hold || (!all && now < hold->until && !must_go(task) &&
				      !relieved(task, hold)))
				continue;
			hold->until = 0;
			any = true;
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	bpf_rcu_read_unlock();
	return any;
}

/* Move them from there to the CPU; any? */
static __always_inline bool unpark(__s32 cpu)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *task;
	bool any = false;

	bpf_rcu_read_lock();
	if (!bpf_iter_scx_dsq_new(&it, PARKED + cpu, 0)) {
		while ((task = bpf_iter_scx_dsq_next(&it))) {
			struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);

			if ((!hold || !hold->until) &&
			    scx_bpf_dsq_move(&it, task, SCX_DSQ_LOCAL_ON | cpu, 0))
				any = true;
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	bpf_rcu_read_unlock();
	return any;
}

#endif
