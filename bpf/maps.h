/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.h: the maps that the governor and the scheduler share, and small functions on them.
 *
 * Both objects declare them; the loader gives the scheduler those of the governor.
 */
#ifndef AGENTCG_MAPS_H
#define AGENTCG_MAPS_H

#include "kernel.h"
#include "shared.h"
#include "decide.h"

#define CALLS 8192
#define POOLS 64
#define LEVELS 24 /* of cgroups that are walked, upwards */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CALLS);
	__type(key, __u64);
	__type(value, struct policy);
} policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CALLS);
	__type(key, __u64);
	__type(value, struct tally);
} tallies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POOLS);
	__type(key, __u64);
	__type(value, struct pool);
} pools SEC(".maps");

/* Pages of a pool that are guaranteed and not used yet. Apart from `pools`, as BPF writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POOLS);
	__type(key, __u64);
	__type(value, __u64);
} reserved SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct member);
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} controls SEC(".maps");

/* Who has threads held: a session, or another cgroup that is held up. By the cgroup's id. */
struct owner {
	__u32 held;    /* threads that are delayed now */
	__u32 refused; /* that were not, for want of a slot */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CALLS);
	__type(key, __u64);
	__type(value, struct owner);
} owners SEC(".maps");

enum reason {
	HOLD_MEMORY = 1, /* the pool has no room for what its call takes */
	HOLD_CPU = 2,    /* its cgroup has used up its cpu.max */
};

/* A thread that is, or is about to be, delayed. */
struct hold {
	__u64 call;
	__u64 owner;
	__u64 delay;    /* how long, for all batches since the last return to user mode */
	__u64 room;     /* for memory: what there was when it was decided */
	__u64 begun;    /* when it reached the user boundary; 0 before */
	__u64 deadline; /* the end of the delay */
	__u64 until;    /* the end of this quantum of it */
	__u32 pending;  /* its task work is queued or runs */
	__u32 parking;  /* it is at the user boundary and may be parked */
	__u32 reason;
	__u32 parked;   /* it is on a park queue, or was and has not run since */
	__u32 slot;     /* where its task work is; no pid, which an exec changes */
	__u32 zero;
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hold);
} holds SEC(".maps");

/* What the two programs know of each other; key 0. */
struct state {
	__u32 scheduler; /* it is attached: parking works */
	__u32 parked;    /* threads on park queues, of all CPUs */
	__u32 holds;     /* that were begun, ever: the name of the next one's slot */
	__u32 zero;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state);
} states SEC(".maps");

/* How the scheduler ended, in the kernel's words; key 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct farewell);
} farewells SEC(".maps");

static __always_inline struct state *state_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&states, &zero);
}

/* Whether the daemon was heard of within its dead-man time. */
static __always_inline bool governed(__u64 now)
{
	__u32 zero = 0;
	struct control *control = bpf_map_lookup_elem(&controls, &zero);

	return control && now < control->heartbeat + control->dead_man;
}

static __always_inline unsigned long pending_signals(struct task_struct *task)
{
	return task->pending.signal.sig[0] | task->signal->shared_pending.signal.sig[0];
}

/* No thread may be held that is about to die or to freeze. */
static __always_inline bool must_go(struct task_struct *task)
{
	return (task->flags & PF_EXITING) || (task->jobctl & JOBCTL_TRAP_FREEZE) ||
	       (task->signal->flags & SIGNAL_GROUP_EXIT) || (pending_signals(task) & SIGKILL_BIT);
}

/*
 * Other signals, a stop among them, end a delay only at the end of a quantum: a timer that fires
 * every millisecond must not be a way around it.
 */
static __always_inline bool wants_out(struct task_struct *task)
{
	return must_go(task) || (pending_signals(task) & ~task->blocked.sig[0]);
}

/* The page counter of a cgroup's own; NULL without the memory controller. */
static __always_inline struct page_counter *own_counter(struct cgroup *cgroup)
{
	int id = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	struct cgroup_subsys_state *css = NULL;

	bpf_core_read(&css, sizeof(css), &cgroup->subsys[id]);
	/* struct mem_cgroup begins with its css. */
	return css ? &((struct mem_cgroup *)css)->memory : NULL;
}

/* Where a task's memory is counted: its cgroup's own, or the nearest above that has one. */
static __always_inline struct page_counter *counter_of(struct task_struct *task)
{
	int id = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	struct cgroup_subsys_state *css = NULL;

	bpf_core_read(&css, sizeof(css), &task->cgroups->subsys[id]);
	return css ? &((struct mem_cgroup *)css)->memory : NULL;
}

/* The counter of the cgroup at this level above a task, in one step however deep the task is. */
static __always_inline struct page_counter *counter_at(struct task_struct *task, __u32 level)
{
	struct cgroup *cgroup = NULL;

	bpf_core_read(&cgroup, sizeof(cgroup), &task->cgroups->dfl_cgrp->ancestors[level]);
	return cgroup ? own_counter(cgroup) : NULL;
}

static __always_inline __u64 usage_of(struct page_counter *counter)
{
	return BPF_CORE_READ(counter, usage.counter);
}

/* What is kept for others: what they have not used yet, not the call's own. */
static __always_inline __u64 kept_from(const struct policy *policy, const struct tally *tally)
{
	__u64 pool_id = policy->pool, mine = tally->unused;
	__u64 *all = bpf_map_lookup_elem(&reserved, &pool_id);

	return all && *all > mine ? *all - mine : 0;
}

/* Whether the pool has room for a held task's call again. */
static __always_inline bool room_again(struct task_struct *task, struct hold *hold)
{
	__u64 call = hold->call, pool_id;
	struct policy *policy = bpf_map_lookup_elem(&policies, &call);
	struct tally *tally = bpf_map_lookup_elem(&tallies, &call);
	struct page_counter *shared;
	struct member *member;
	struct pool *pool;

	if (!policy || !tally)
		return true;
	pool_id = policy->pool;
	pool = bpf_map_lookup_elem(&pools, &pool_id);
	if (!pool)
		return true;
	member = bpf_cgrp_storage_get(&members, task->cgroups->dfl_cgrp, 0, 0);
	shared = member ? counter_at(task, member->pool) : NULL;
	/* Moved to where nobody governs. */
	if (!shared)
		return true;
	/* More than when it was decided, or every delay would end at the first look. */
	return room_of(pool, usage_of(shared), kept_from(policy, tally), policy->priority) >=
	       hold->room + BATCH;
}

#endif
