/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * park.h: how a thread is held up at its return to user mode, whatever the reason.
 *
 * Where it is decided that a thread has to wait, it may hold any lock of the kernel. So `delay_at_exit`
 * only queues task work, which the thread runs at its return to user mode, where it holds none. There
 * it preempts itself, and the scheduler (sched_ext/) puts it on a park queue instead of a run queue.
 *
 * Quanta. A delay is parked in quanta of 200 ms. Only between them can a stop, a signal or a new affinity
 * act (a parked task is runnable, not sleeping); SIGKILL, a freeze and room that is there again end one.
 * Each end costs a turn of the task on its CPU, which others wait for: not too short. Between two quanta
 * the task does not run user code: the callback queues the next one itself. As a task work may not
 * queue itself, two maps take turns.
 *
 * Reasons. The governor holds threads for memory, the scheduler for cpu.max; both include this file and
 * share its maps, and each has the callbacks of the holds that it began. An object that includes this
 * defines `relieved()`: whether there is again what a held thread waits for. A thread has one
 * hold at a time; what else it would have to wait for is seen when it goes on.
 */
#ifndef AGENTCG_PARK_H
#define AGENTCG_PARK_H

#include "maps.h"

#define QUANTUM (200 * 1000000ull)
#define SLOTS 16384 /* the daemon makes it what the pool's limit of processes is */

extern int bpf_task_work_schedule_resume(struct task_struct *task, struct bpf_task_work *work,
					 void *map__map,
					 int (*callback)(struct bpf_map *, void *, void *)) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;

/* struct bpf_task_work may live in hash maps, but not in the storage of a task. */
struct slot {
	struct bpf_task_work work;
};
struct slots {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct slot);
} slots_odd SEC(".maps"), slots_even SEC(".maps");

static bool relieved(struct task_struct *task, struct hold *hold);
static int hold_odd(struct bpf_map *map, void *key, void *value);
static int hold_even(struct bpf_map *map, void *key, void *value);

/* Queue the callback that is not running. */
static __always_inline long queue(struct task_struct *task, struct hold *hold, bool odd)
{
	struct slot *slot, empty = {};
	__u32 key = hold->slot;

	if (odd) {
		slot = bpf_map_lookup_elem(&slots_odd, &key);
		if (!slot) {
			bpf_map_update_elem(&slots_odd, &key, &empty, BPF_NOEXIST);
			slot = bpf_map_lookup_elem(&slots_odd, &key);
		}
		return slot ? bpf_task_work_schedule_resume(task, &slot->work, &slots_odd, hold_odd)
			    : -1;
	}
	slot = bpf_map_lookup_elem(&slots_even, &key);
	if (!slot) {
		bpf_map_update_elem(&slots_even, &key, &empty, BPF_NOEXIST);
		slot = bpf_map_lookup_elem(&slots_even, &key);
	}
	return slot ? bpf_task_work_schedule_resume(task, &slot->work, &slots_even, hold_even) : -1;
}

static __always_inline struct owner *owner_of(__u64 id)
{
	struct owner *owner = bpf_map_lookup_elem(&owners, &id), none = {};

	if (owner)
		return owner;
	bpf_map_update_elem(&owners, &id, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&owners, &id);
}

/*
 * Have a thread wait for `delay`, counted from its next return to user mode; false if it cannot be,
 * as when its owner, a session, has used up the `slots` that are for its threads. The caller has
 * looked whether the thread may be held at all: must_go().
 */
static __always_inline bool delay_at_exit(struct task_struct *task, struct hold *hold, __u32 reason,
					  __u64 call, __u64 owner_id, __u32 slots, __u64 delay)
{
	struct state *state = state_of();
	struct owner *owner;

	/* A tick may come in between here and a charge: one of them begins a hold. */
	if (__sync_lock_test_and_set(&hold->pending, 1))
		return false;
	owner = owner_of(owner_id);
	if (!owner || !state)
		goto refuse;
	if (__sync_fetch_and_add(&owner->held, 1) >= slots)
		goto give_back;
	hold->reason = reason;
	hold->call = call;
	hold->owner = owner_id;
	hold->delay = delay;
	hold->begun = 0;
	hold->slot = __sync_fetch_and_add(&state->holds, 1);
	if (!queue(task, hold, true))
		return true;
give_back:
	__sync_fetch_and_add(&owner->held, -1);
	__sync_fetch_and_add(&owner->refused, 1);
refuse:
	hold->pending = 0;
	return false;
}

/* The end of a delay: account for it. */
static __always_inline void let_go(struct hold *hold, __u64 now)
{
	__u64 call = hold->call, owner_id = hold->owner;
	__u64 took = hold->begun ? since(now, hold->begun) : 0;
	bool memory = hold->reason == HOLD_MEMORY;
	struct tally *tally;
	struct owner *owner;

	/* Once: an exiting thread is let go before its task work runs for the last time. */
	if (!__sync_lock_test_and_set(&hold->pending, 0))
		return;
	owner = bpf_map_lookup_elem(&owners, &owner_id);
	if (owner)
		__sync_fetch_and_add(&owner->held, -1);
	tally = bpf_map_lookup_elem(&tallies, &call);
	if (!tally)
		return;
	if (!memory) {
		__sync_fetch_and_add(&tally->capped, took);
		return;
	}
	__sync_fetch_and_add(&tally->held, -1);
	__sync_fetch_and_add(&tally->throttled, took);
	if (took > tally->longest)
		tally->longest = took;
}

/* Slots are for the held alone, or the threads of one call could use up everybody's. */
static __always_inline void free_slots(struct hold *hold)
{
	__u32 key = hold->slot;

	bpf_map_delete_elem(&slots_odd, &key);
	bpf_map_delete_elem(&slots_even, &key);
}

/* Task work, in the task itself at its return to user mode: one quantum of its delay. */
static __always_inline int hold_for_a_quantum(bool odd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);
	struct state *state = state_of();
	__u64 now = bpf_ktime_get_ns();
	bool over;

	if (!hold || !state || !hold->pending)
		return 0;
	/* From here on: what a task waited for elsewhere is no delay of ours. */
	if (!hold->begun) {
		hold->begun = now;
		hold->deadline = now + hold->delay;
	}
	hold->until = now + QUANTUM < hold->deadline ? now + QUANTUM : hold->deadline;
	if (state->scheduler && now < hold->deadline && !must_go(task)) {
		hold->parking = 1;
		/*
		 * The scheduler parks whoever is preempted with `parking` set. The bracket moves the
		 * preemption out of the kick, which holds RCU: a task that is parked with it
		 * blocks every grace period, and with that all writes to cgroup.procs.
		 */
		bpf_preempt_disable();
		scx_bpf_kick_cpu(bpf_get_smp_processor_id(), SCX_KICK_PREEMPT);
		bpf_preempt_enable();
		hold->parking = 0;
		now = bpf_ktime_get_ns();
	}
	/* Before its time: let go, or not parked at all, as on a CPU that goes offline. */
	bpf_rcu_read_lock();
	over = now < hold->until || now >= hold->deadline || !governed(now) || wants_out(task) ||
	       relieved(task, hold);
	bpf_rcu_read_unlock();
	if (over || queue(task, hold, !odd)) {
		/* In this order: once it is let go, a tick may begin the next hold. */
		free_slots(hold);
		let_go(hold, now);
	}
	return 0;
}

static int hold_odd(struct bpf_map *map, void *key, void *value)
{
	return hold_for_a_quantum(true);
}

static int hold_even(struct bpf_map *map, void *key, void *value)
{
	return hold_for_a_quantum(false);
}

#endif
