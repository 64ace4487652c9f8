/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shares.h: what part of the machine a cgroup has, its virtual clock, and its head start.
 *
 * Every cgroup has a virtual clock, which runs with the CPU time of its own tasks divided by its
 * share of the machine; the one that is furthest behind runs next. The share is compounded from the
 * root down:
 *
 *   share(cgroup) = share(parent) x weight / sum of the weights of the parent's active children
 *
 * Active is what has a runnable task in or below it that is not parked; its own tasks count as one
 * child of weight 100. Example: sessions A (weight 200) and B (100), in B two calls of 100. While
 * all run, A has 2/3, each call 1/6, and their clocks run 1.5 and 6 ns a ns. When A sleeps, each call
 * has 1/2. A cgroup that sleeps saves nothing up: its clock is drawn along.
 *
 * Head start. A cgroup has a credit of CPU time, 1 ms for each point of its weight and at least 100,
 * which comes back while it rests, at a tenth of a core for 100 points. While it lasts its tasks are quick: they
 * queue up to 20 ms of virtual time ahead, have short slices and preempt a task without credit. So an
 * editor's command runs at once beside eight compilers, a long build decays to its share, and a call's
 * class, which the daemon turns into its weight (interactive 300, normal 100, batch 30), says how soon.
 *
 * A new cgroup has 100 ms of credit, which it takes from the cgroup that it was made in, and what it
 * has left goes back there when it is removed. One with others in it keeps up to ten times the credit
 * for them. So ten short calls at once are quick, and then one a second; a session that makes a
 * hundred a second has no advantage over one that runs the same work in one.
 */
#ifndef AGENTCG_SHARES_H
#define AGENTCG_SHARES_H

#include "scx.h"
#include "maps.h"
#include "quota.h"

#define MS 1000000ull
#define SLICE (5 * MS)
#define SLICE_QUICK (1 * MS)
#define HEAD_START (20 * MS)
#define BEHIND (500 * MS) /* of virtual time that a waiting cgroup may make good */
#define ONE (1ull << 20) /* the whole machine, in shares */
#define FURTHEST (1000 * MS) /* that anybody waits, about: the watchdog's patience is 10 s */
#define OWN_WEIGHT 100
#define CREDIT (100 * MS) /* of a new cgroup */
#define POINT (1 * MS)    /* of credit, a point of weight */
#define REFILL 1000       /* ns in which a ns of it comes back, times the points */
#define POINTS 500        /* that count, or a weight of 10 000 were always quick */
#define LENDS 10          /* how much more one with others in it keeps for them */

struct node {
	__u64 vtime;     /* the virtual clock of its own tasks */
	__u64 share;     /* of ONE, as of `round` */
	__u64 round;
	__u64 credit;    /* CPU time of its head start that is left, as of `credit_at` */
	__u64 credit_at;
	__u32 weight;
	__u32 sum;       /* of the weights of what is active in it */
	__u32 active;    /* how many children are, and it itself if a task of its own is runnable */
	__u32 tasks;     /* runnable tasks of its own that are not parked */
	__u32 lends;     /* others were made in it */
	__u32 limited;   /* it, or a level above, has a quota; as of `round` */
	struct quota quota;
};
struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct node);
} nodes SEC(".maps");

__u64 clock;  /* the furthest virtual time that a running task was queued by */
__u64 rounds; /* how often weights, quotas or activity changed */
int nr_cpus;

static __always_inline struct node *node_of(struct cgroup *cgroup)
{
	return bpf_cgrp_storage_get(&nodes, cgroup, 0, 0);
}

static __always_inline struct cgroup *parent_of(struct cgroup *cgroup)
{
	struct cgroup_subsys_state *above = cgroup->self.parent;

	return above ? above->cgroup : NULL;
}

/*
 * The virtual clock of a cgroup, at most so far behind (what it did not use while it slept is gone),
 * and not too far ahead: of N CPUs the clock runs N seconds a second, and everybody's turn has to
 * come.
 */
static __always_inline __u64 caught_up(struct node *node, __u64 behind)
{
	if ((__s64)(node->vtime - (clock - behind)) < 0)
		node->vtime = clock - behind;
	if ((__s64)(node->vtime - (clock + nr_cpus * FURTHEST)) > 0)
		node->vtime = clock + nr_cpus * FURTHEST;
	return node->vtime;
}

/* How much credit it may have at most. */
static __always_inline __u64 most_credit(struct node *node, __u32 points)
{
	__u64 most = points * POINT;

	return (most > CREDIT ? most : CREDIT) * (node->lends ? LENDS : 1);
}

/* Let the credit come back for the time since it was last looked at, if the cgroup rested. */
static __always_inline void rest(struct node *node, __u64 now)
{
	__u32 points = node->weight < POINTS ? node->weight : POINTS;
	__u64 rested = since(now, node->credit_at), most = most_credit(node, points);
	__u64 credit = node->credit + rested * points / REFILL;

	node->credit_at += rested;
	if (!node->tasks)
		node->credit = credit < most ? credit : most;
}

/* A task of the cgroup wants a CPU, or the last one does no more: tell the levels above. */
static __always_inline void activity(struct cgroup *cgroup, bool begins)
{
	struct node *node = node_of(cgroup), *above;
	__u32 weight = OWN_WEIGHT, before;

	if (!node)
		return;
	rest(node, bpf_ktime_get_ns());
	if (begins ? __sync_fetch_and_add(&node->tasks, 1) : __sync_fetch_and_add(&node->tasks, -1) != 1)
		return;
	if (begins)
		caught_up(node, HEAD_START);
	/* Its own tasks, then it itself, then its parent, up to where somebody is active anyway. */
	above = node;
	for (int i = 0; i < LEVELS && above; i++) {
		__sync_fetch_and_add(&above->sum, begins ? weight : -weight);
		before = __sync_fetch_and_add(&above->active, begins ? 1 : -1);
		if (begins ? before : before != 1)
			break;
		weight = above->weight;
		cgroup = parent_of(cgroup);
		above = cgroup ? node_of(cgroup) : NULL;
	}
	__sync_fetch_and_add(&rounds, 1);
}

/* Compute the cgroup's share of the machine anew, and whether it is limited, if anything changed. */
static __always_inline void refresh(struct cgroup *cgroup, struct node *node)
{
	__u64 share = ONE, round = rounds, weight = OWN_WEIGHT;
	struct node *level = node;
	__u32 limited = 0;

	if (node->round == round && node->share)
		return;
	for (int i = 0; i < LEVELS && level; i++) {
		__u64 sum = level->sum;

		/* Sums are corrected one after the other: for a moment one may be too small. */
		share = share * weight / (sum > weight ? sum : weight);
		weight = level->weight;
		limited |= !!level->quota.amount;
		cgroup = parent_of(cgroup);
		level = cgroup ? node_of(cgroup) : NULL;
	}
	node->share = share ?: 1;
	node->limited = limited;
	node->round = round;
}

/* A new cgroup: its credit is its parent's, not made from nothing. */
static __always_inline void lend(struct node *child, struct node *parent, __u64 now)
{
	__u64 amount;

	/* The first that it has, ever: until now it needed no more than its own. */
	if (!__sync_lock_test_and_set(&parent->lends, 1))
		parent->credit *= LENDS;
	rest(parent, now);
	amount = parent->credit < CREDIT ? parent->credit : CREDIT;
	parent->credit -= amount;
	child->credit = amount;
}

static __always_inline void give_back(struct node *child, struct node *parent)
{
	__sync_fetch_and_add(&parent->credit, child->credit);
}

static __always_inline bool has_credit(struct node *node)
{
	return node->credit > SLICE_QUICK;
}

/* Where a task of the cgroup queues. */
static __always_inline __u64 place_of(struct node *node)
{
	return caught_up(node, BEHIND) - (has_credit(node) ? HEAD_START : 0);
}

/* While nobody waits, whoever runs is the one that is furthest behind. */
static __always_inline void draw_along(__u64 at)
{
	/* Beyond that it is a place in the queue of a scheduler before this one. */
	if ((__s64)(at - clock) > 0 && at - clock <= 2 * nr_cpus * FURTHEST)
		clock = at;
}

/* Charge a cgroup, and its limited levels, for CPU time. */
static __always_inline void charge(struct cgroup *cgroup, struct node *node, __u64 used)
{
	refresh(cgroup, node);
	__sync_fetch_and_add(&node->vtime, used * ONE / node->share);
	node->credit = node->credit > used ? node->credit - used : 0;
	if (!node->limited)
		return;
	for (int i = 0; i < LEVELS && node; i++) {
		if (node->quota.amount)
			__sync_fetch_and_add(&node->quota.left, -used);
		cgroup = parent_of(cgroup);
		node = cgroup ? node_of(cgroup) : NULL;
	}
}

/* Whether the cgroup, or a level above it, has used up its quota. */
static __always_inline bool out_of_quota(struct cgroup *cgroup, __u64 now)
{
	for (int i = 0; i < LEVELS && cgroup; i++) {
		struct node *node = node_of(cgroup);

		if (node && node->quota.amount && exhausted(&node->quota, now))
			return true;
		cgroup = parent_of(cgroup);
	}
	return false;
}

#endif
