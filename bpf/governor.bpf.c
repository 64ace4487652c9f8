// SPDX-License-Identifier: GPL-2.0-only
/*
 * governor.bpf.c: holds up a call's memory growth where the pool that it shares gets tight.
 *
 * What. Sessions and their calls share the memory of a pool, an ancestor cgroup. When it gets tight,
 * calls of low priority and calls beyond their guarantee have to grow slower, or stand still, so
 * that the others keep their speed and nobody is killed. There is no loop in user space: a decision
 * is made for every batch of 64 pages, in the kernel, when it is about to be charged.
 *
 * How. `page_counter_try_charge()` is called once a batch (a per-page hook costs 5 % of a page
 * fault, this one 0.1 %). The program attached there looks at the policy of the current task's call,
 * at its usage and the pool's, and decides on a delay (decide.h). It must not delay right there: the
 * task may hold mmap_lock, an inode's lock or a journal handle, and then those of high priority
 * would wait for it. So it has the task held up at its return to user mode (park.h), where it holds no
 * lock of the kernel, until its time has come or the pool has room.
 *
 *   charge    fentry: room? slack? guarantee? credit?  -> else a delay
 *   leave     a thread exits: its slots are free
 *   grant, inherit, forget   who is governed (grants.h)
 *
 * Worked example. Pool 240 MiB of size, 200 of slack; `low` (priority -50, nothing guaranteed) grows
 * without end. Up to 200 MiB nothing happens. At 220 its 220 MiB of overage and half of the slack
 * used up make a delay of some hundred ms a batch of 256 KiB. At 240 less its share of the band it
 * has no room: it stands still, but for one batch every max_delay (2 s), which keeps its progress
 * above zero and lets a deadlock in user space resolve itself. As soon as others free memory the
 * timer of the scheduler lets it go. If it had no room for longer than max_delay, its next batch says so
 * (EVENT_STUCK): whether somebody has to give way is for the daemon to judge.
 *
 * Limits.
 * - One system call that populates gigabytes passes the tripwire many times, but is stopped only
 *   where it returns: the native limits are the backstop.
 * - A lock of user space (flock, a futex) that a held task has is held with it, for at most
 *   max_delay at a time.
 * - Kernels without task work or sched_ext do not load it; while the scheduler is not attached there
 *   is no parking, and the tripwire only counts.
 * - A thread for which its session has no slot left is not held, only counted (`refused`); so is one
 *   that the scheduler does not have: of a real-time policy, or in partial mode of any but SCHED_EXT.
 * - Memory that is charged to another cgroup than the task's own (processes that share an address
 *   space across calls) is not looked at, nor is what a kernel thread charges to a call: khugepaged
 *   fills holes up to a huge page also while the call is held.
 * - What a call used of its guarantee and gave back is kept free again from its next batch on.
 * - Counts of one call by several CPUs at once may lose an increment; sums of reserved pages do not.
 */
#include "park.h"
#include "grants.h"

char _license[] SEC("license") = "GPL";

#define TELL_EVERY SECOND

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* So that the type information, which Python's copy is checked by, has the whole struct. */
const struct event *type_of_event __attribute__((unused));

/* Its own holds are all for memory. */
static __always_inline bool relieved(struct task_struct *task, struct hold *hold)
{
	return room_again(task, hold);
}

static __always_inline void tell(struct tally *tally, __u64 now, __u64 call, __u64 usage, __u64 room,
				 __u64 delay, __u64 max_delay)
{
	bool stuck = !room && since(now, tally->full) > max_delay;
	struct event *event;

	if (now < tally->told + TELL_EVERY)
		return;
	tally->told = now;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return;
	*event = (struct event){
		.at = now, .call = call, .usage = usage, .room = room, .delay = delay,
		.kind = stuck ? EVENT_STUCK : EVENT_THROTTLED, .pid = bpf_get_current_pid_tgid(),
	};
	bpf_ringbuf_submit(event, 0);
}

/* Take `pages` from a call's credit; false if it has not so much. */
static __always_inline bool spend(struct tally *tally, const struct policy *policy, __u64 pages,
				  __u64 now)
{
	__u64 credit = credit_of(policy, tally->credit, since(now, tally->credit_at));

	tally->credit_at += since(now, tally->credit_at);
	if (credit < pages) {
		tally->credit = credit;
		return false;
	}
	tally->credit = credit - pages;
	return true;
}

SEC("fentry/page_counter_try_charge")
int BPF_PROG(charge, struct page_counter *counter, unsigned long pages)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct member *member = bpf_cgrp_storage_get(&members, task->cgroups->dfl_cgrp, 0, 0);
	__u64 call, now, own, usage, kept, room, delay, pool_id;
	struct page_counter *calls, *shared;
	struct policy *policy;
	struct tally *tally;
	struct state *state;
	struct hold *hold;
	struct pool *pool;

	/* Not a call; or a counter of something else, or of another cgroup. */
	if (!member || counter_of(task) != counter)
		return 0;
	call = member->call;
	policy = bpf_map_lookup_elem(&policies, &call);
	if (!policy)
		return 0;
	pool_id = policy->pool;
	pool = bpf_map_lookup_elem(&pools, &pool_id);
	tally = bpf_map_lookup_elem(&tallies, &call);
	calls = counter_at(task, member->level);
	shared = counter_at(task, member->pool);
	if (!pool || !tally || !calls || !shared)
		return 0;
	__sync_fetch_and_add(&tally->charges, 1);
	own = usage_of(calls) + pages;
	usage = usage_of(shared) + pages;
	reserve_for(tally, policy, own);
	kept = kept_from(policy, tally);
	if (usage + kept <= pool->slack || own <= policy->free)
		return 0;
	now = bpf_ktime_get_ns();
	room = room_of(pool, usage, kept, policy->priority);
	if (room)
		tally->full = 0;
	else if (!tally->full)
		tally->full = now;
	if (room && spend(tally, policy, pages, now))
		return 0;
	delay = delay_of(policy, pool, room, own - policy->free);
	state = state_of();
	if (!delay || !state || !state->scheduler || !governed(now) || must_go(task) ||
	    (task->flags & (PF_KTHREAD | PF_USER_WORKER)))
		return 0;
	hold = bpf_task_storage_get(&holds, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!hold)
		return 0;
	if (hold->pending) {
		/* More batches of one system call: they wait together, at its end. */
		if (!hold->begun && hold->reason == HOLD_MEMORY)
			hold->delay += delay < policy->max_delay - hold->delay
					       ? delay
					       : policy->max_delay - hold->delay;
		return 0;
	}
	hold->room = room;
	/* Of another class than the scheduler's: by its own will, or in partial mode not placed. */
	if (!(task->scx.flags & SCX_TASK_QUEUED) ||
	    !delay_at_exit(task, hold, HOLD_MEMORY, call, policy->session, policy->slots, delay)) {
		__sync_fetch_and_add(&tally->refused, 1);
		return 0;
	}
	__sync_fetch_and_add(&tally->held, 1);
	__sync_fetch_and_add(&tally->trips, 1);
	tell(tally, now, call, own, room, delay, policy->max_delay);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(leave, struct task_struct *task)
{
	struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);

	if (!hold)
		return 0;
	free_slots(hold);
	let_go(hold, bpf_ktime_get_ns());
	return 0;
}
