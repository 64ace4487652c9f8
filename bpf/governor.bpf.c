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
 * would wait for it. So it has task work run at the task's return to user mode, where the task holds
 * no lock of the kernel. The task work preempts itself, and the scheduler (sched_ext/) puts the task
 * on a park queue instead of a run queue, until its time has come or the pool has room.
 *
 *   charge    fentry: room? slack? guarantee? credit?  -> else task work
 *   hold      task work: park for a quantum; again, while its delay lasts and there is no room
 *   inherit   a cgroup made inside a call's belongs to the call
 *   forget    a call's cgroup is removed: its unused guarantee is nobody's any more
 *   leave     a thread exits: its slots are free
 *
 * Worked example. Pool 240 MiB of size, 200 of slack; `low` (priority -50, nothing guaranteed) grows
 * without end. Up to 200 MiB nothing happens. At 220 its 220 MiB of overage and half of the slack
 * used up make a delay of some hundred ms a batch of 256 KiB. At 240 less its share of the band it
 * has no room: it stands still, but for one batch every max_delay (2 s), which keeps its progress
 * above zero and lets a deadlock in user space resolve itself. As soon as others free memory the
 * timer of the scheduler lets it go.
 *
 * Quanta. A delay is parked in quanta of 50 ms. Only between them can a freeze, a stop or a signal
 * act (a parked task is runnable, not sleeping). Between two quanta the task does not run user code:
 * the callback queues the next one itself. As a task work may not queue itself, two maps take turns.
 *
 * Limits.
 * - One system call that populates gigabytes passes the tripwire many times, but is stopped only
 *   where it returns: the native limits are the backstop.
 * - A lock of user space (flock, a futex) that a held task has is held with it, for at most
 *   max_delay at a time.
 * - Kernels without task work or sched_ext do not load it; while the scheduler is not attached there
 *   is no parking, and the tripwire only counts.
 * - A guarantee is kept free from the call's first batch on, not from its grant.
 * - Counts of one call by several CPUs at once may lose an increment; sums of reserved pages do not.
 */
#include "maps.h"

char _license[] SEC("license") = "GPL";

#define QUANTUM (50 * 1000000ull)
#define SLOTS 16384
#define TELL_EVERY SECOND

extern int bpf_task_work_schedule_resume(struct task_struct *task, struct bpf_task_work *work,
					 void *map__map,
					 int (*callback)(struct bpf_map *, void *, void *)) __ksym;
extern void scx_bpf_kick_cpu(__s32 cpu, __u64 flags) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

#define SCX_KICK_PREEMPT 2

/* struct bpf_task_work may live in hash maps, but not in the storage of a task. */
struct slot {
	struct bpf_task_work work;
};
struct slots {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS);
	__type(key, int);
	__type(value, struct slot);
} slots_odd SEC(".maps"), slots_even SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* So that the type information, which Python's copy is checked by, has the whole struct. */
const struct event *type_of_event __attribute__((unused));

static int hold_odd(struct bpf_map *map, void *key, void *value);
static int hold_even(struct bpf_map *map, void *key, void *value);

/* Queue the callback that is not running. */
static __always_inline long queue(struct task_struct *task, bool odd)
{
	struct slot *slot, empty = {};
	int pid = task->pid;

	if (odd) {
		slot = bpf_map_lookup_elem(&slots_odd, &pid);
		if (!slot) {
			bpf_map_update_elem(&slots_odd, &pid, &empty, BPF_NOEXIST);
			slot = bpf_map_lookup_elem(&slots_odd, &pid);
		}
		return slot ? bpf_task_work_schedule_resume(task, &slot->work, &slots_odd, hold_odd)
			    : -1;
	}
	slot = bpf_map_lookup_elem(&slots_even, &pid);
	if (!slot) {
		bpf_map_update_elem(&slots_even, &pid, &empty, BPF_NOEXIST);
		slot = bpf_map_lookup_elem(&slots_even, &pid);
	}
	return slot ? bpf_task_work_schedule_resume(task, &slot->work, &slots_even, hold_even) : -1;
}

static __always_inline void tell(struct tally *tally, __u64 now, __u64 call, __u64 usage, __u64 room,
				 __u64 delay)
{
	struct event *event;

	if (now < tally->told + TELL_EVERY)
		return;
	tally->told = now;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return;
	*event = (struct event){
		.at = now, .call = call, .usage = usage, .room = room, .delay = delay,
		.kind = EVENT_THROTTLED, .pid = bpf_get_current_pid_tgid(),
	};
	bpf_ringbuf_submit(event, 0);
}

/* Note what a call has not used of its guarantee, and correct the pool's sum by the difference. */
static __always_inline void reserve(struct tally *tally, __u64 pool, __u64 unused)
{
	__u64 before, none = 0, *sum;

	if (tally->unused == unused)
		return;
	sum = bpf_map_lookup_elem(&reserved, &pool);
	if (!sum) {
		bpf_map_update_elem(&reserved, &pool, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&reserved, &pool);
		if (!sum)
			return;
	}
	before = __sync_lock_test_and_set(&tally->unused, unused);
	__sync_fetch_and_add(sum, unused - before);
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

static __always_inline struct tally *tally_of(__u64 call, const struct policy *policy, __u64 now)
{
	struct tally *tally = bpf_map_lookup_elem(&tallies, &call);
	struct tally fresh = {.credit = policy->burst, .credit_at = now};

	if (tally)
		return tally;
	bpf_map_update_elem(&tallies, &call, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tallies, &call);
}

SEC("fentry/page_counter_try_charge")
int BPF_PROG(charge, struct page_counter *counter, unsigned long pages)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct cgroup *cgroup = task->cgroups->dfl_cgrp;
	struct member *member = bpf_cgrp_storage_get(&members, cgroup, 0, 0);
	__u64 call, now, own, usage, kept, room, delay, pool_id;
	struct page_counter *shared;
	struct policy *policy;
	struct tally *tally;
	struct state *state;
	struct hold *hold;
	struct pool *pool;

	/* Not a call; or a counter of something else, or of another cgroup. */
	if (!member || counter_of(cgroup) != counter)
		return 0;
	call = member->call;
	policy = bpf_map_lookup_elem(&policies, &call);
	if (!policy)
		return 0;
	pool_id = policy->pool;
	pool = bpf_map_lookup_elem(&pools, &pool_id);
	now = bpf_ktime_get_ns();
	tally = pool ? tally_of(call, policy, now) : NULL;
	shared = above(counter, member->up);
	if (!tally || !shared)
		return 0;
	__sync_fetch_and_add(&tally->charges, 1);
	own = usage_of(counter) + pages;
	usage = usage_of(shared) + pages;
	reserve(tally, pool_id, policy->guarantee > own ? policy->guarantee - own : 0);
	kept = kept_from(policy, tally);
	if (usage + kept <= pool->slack || own <= policy->guarantee)
		return 0;
	room = room_of(pool, usage, kept, policy->priority);
	if (room && spend(tally, policy, pages, now))
		return 0;
	delay = delay_of(policy, pool, room, own - policy->guarantee);
	state = state_of();
	if (!delay || !state || !state->scheduler || !governed(now) || must_go(task))
		return 0;
	hold = bpf_task_storage_get(&holds, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!hold)
		return 0;
	if (hold->pending) {
		/* More batches of one system call: they wait together, at its end. */
		if (!hold->begun)
			hold->delay += delay < policy->max_delay - hold->delay
					       ? delay
					       : policy->max_delay - hold->delay;
		return 0;
	}
	if (tally->held >= policy->slots) {
		__sync_fetch_and_add(&tally->refused, 1);
		return 0;
	}
	hold->call = call;
	hold->delay = delay;
	hold->room = room;
	hold->begun = 0;
	hold->pending = 1;
	if (queue(task, true)) {
		hold->pending = 0;
		__sync_fetch_and_add(&tally->refused, 1);
		return 0;
	}
	__sync_fetch_and_add(&tally->held, 1);
	__sync_fetch_and_add(&tally->trips, 1);
	tell(tally, now, call, own, room, delay);
	return 0;
}

/* The end of a delay: account for it. */
static __always_inline void let_go(struct hold *hold, __u64 now)
{
	__u64 call = hold->call, took = hold->begun ? since(now, hold->begun) : 0;
	struct tally *tally = bpf_map_lookup_elem(&tallies, &call);

	/* Once: an exiting thread is let go before its task work runs for the last time. */
	if (!__sync_lock_test_and_set(&hold->pending, 0) || !tally)
		return;
	__sync_fetch_and_add(&tally->held, -1);
	__sync_fetch_and_add(&tally->throttled, took);
	if (took > tally->longest)
		tally->longest = took;
}

/* Slots are for the held alone, or the threads of one call could use up everybody's. */
static __always_inline void free_slots(struct task_struct *task)
{
	int pid = task->pid;

	bpf_map_delete_elem(&slots_odd, &pid);
	bpf_map_delete_elem(&slots_even, &pid);
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
	if (over || queue(task, !odd)) {
		let_go(hold, now);
		free_slots(task);
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

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(inherit, struct cgroup *cgroup, const char *path)
{
	struct cgroup *parent = cgroup->self.parent->cgroup;
	struct member *theirs = bpf_cgrp_storage_get(&members, parent, 0, 0), mine;

	if (!theirs)
		return 0;
	mine = *theirs;
	mine.up++;
	bpf_cgrp_storage_get(&members, cgroup, &mine, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(forget, struct cgroup *cgroup, const char *path)
{
	__u64 id = cgroup->kn->id;
	struct policy *policy = bpf_map_lookup_elem(&policies, &id);
	struct tally *tally = bpf_map_lookup_elem(&tallies, &id);

	if (policy && tally)
		reserve(tally, policy->pool, 0);
	bpf_map_delete_elem(&policies, &id);
	bpf_map_delete_elem(&tallies, &id);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(leave, struct task_struct *task)
{
	struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);

	if (!hold)
		return 0;
	let_go(hold, bpf_ktime_get_ns());
	free_slots(task);
	return 0;
}
