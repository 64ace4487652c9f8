/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * grants.h: who is governed. A grant is entered, found by whatever runs below it, and forgotten.
 *
 *   grant     run by the daemon: a cgroup's policy is new, or has changed
 *   inherit   a cgroup that is made inside a call's belongs to the call
 *   forget    a cgroup is removed: what was kept for it is nobody's any more
 *
 * What is kept free in a pool is one sum (`reserved`) of what each grant has not used yet (its tally's
 * `unused`). All who change that do it by exchange: whoever replaces the one adds the difference
 * to the other, so the sum is right in whatever order a grant, a charge and a removal come.
 */
#ifndef AGENTCG_GRANTS_H
#define AGENTCG_GRANTS_H

#include "maps.h"

#define DESCENDANTS_PRE 2 /* BPF_CGROUP_ITER_DESCENDANTS_PRE: the cgroup itself, then all below */
#define ENOENT 2
#define ENOSPC 28

struct bpf_iter_css {
	__u64 opaque[3];
} __attribute__((aligned(8)));

extern int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start,
			    unsigned int flags) __ksym;
extern struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) __ksym;
extern void bpf_iter_css_destroy(struct bpf_iter_css *it) __ksym;
extern struct cgroup *bpf_cgroup_from_id(__u64 id) __ksym;

/* Note what a grant has not used of what is kept for it, and correct its pool's sum. */
static __always_inline bool reserve(struct tally *tally, __u64 pool, __u64 unused)
{
	__u64 before, none = 0, *sum;

	if (tally->unused == unused)
		return true;
	sum = bpf_map_lookup_elem(&reserved, &pool);
	if (!sum) {
		bpf_map_update_elem(&reserved, &pool, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&reserved, &pool);
		if (!sum)
			return false;
	}
	before = __sync_lock_test_and_set(&tally->unused, unused);
	__sync_fetch_and_add(sum, unused - before);
	return true;
}

/* The same from the usage; again, if a grant changed while it was looked at. */
static __always_inline bool reserve_for(struct tally *tally, struct policy *policy, __u64 usage)
{
	volatile __u64 *granted = &policy->kept;
	bool noted = false;
	__u64 kept;

	for (int i = 0; i < 2; i++) {
		kept = *granted;
		noted = reserve(tally, policy->pool, kept > usage ? kept - usage : 0);
		if (*granted == kept)
			break;
	}
	return noted;
}

static __always_inline void drop(__u64 id)
{
	struct policy *policy = bpf_map_lookup_elem(&policies, &id);
	struct tally *tally = bpf_map_lookup_elem(&tallies, &id);

	if (policy && tally)
		reserve(tally, policy->pool, 0);
	bpf_map_delete_elem(&policies, &id);
	bpf_map_delete_elem(&tallies, &id);
}

/* All that is there already belongs to it; what is made from now on inherits. */
static __always_inline void mark(struct cgroup *cgroup, struct member *member)
{
	struct cgroup_subsys_state *css;
	struct bpf_iter_css it;
	struct member *theirs;

	bpf_rcu_read_lock();
	if (!bpf_iter_css_new(&it, &cgroup->self, DESCENDANTS_PRE)) {
		while ((css = bpf_iter_css_next(&it))) {
			theirs = bpf_cgrp_storage_get(&members, css->cgroup, member,
						      BPF_LOCAL_STORAGE_GET_F_CREATE);
			if (theirs)
				*theirs = *member;
		}
	}
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
}

static __always_inline int enter(struct cgroup *cgroup, __u64 id, const struct policy *wanted)
{
	struct policy *policy = bpf_map_lookup_elem(&policies, &id);
	struct tally *tally = bpf_map_lookup_elem(&tallies, &id);
	struct tally fresh = {.credit = wanted->burst, .credit_at = bpf_ktime_get_ns()};
	struct page_counter *counter = own_counter(cgroup);
	volatile unsigned int *flags = &cgroup->self.flags;

	if (!tally) {
		bpf_map_update_elem(&tallies, &id, &fresh, BPF_NOEXIST);
		tally = bpf_map_lookup_elem(&tallies, &id);
	}
	if (policy && tally && policy->pool != wanted->pool)
		reserve(tally, policy->pool, 0);
	/* In place: who has looked it up must see the change. */
	if (policy)
		*policy = *wanted;
	else
		bpf_map_update_elem(&policies, &id, wanted, BPF_NOEXIST);
	policy = bpf_map_lookup_elem(&policies, &id);
	if (!policy || !tally || !reserve_for(tally, policy, counter ? usage_of(counter) : 0)) {
		drop(id);
		return -ENOSPC;
	}
	/* It may be removed meanwhile: `forget` ran before this, or sees what was entered. */
	if (!(*flags & CSS_ONLINE)) {
		drop(id);
		return -ENOENT;
	}
	return 0;
}

SEC("syscall")
int grant(struct grant *asked)
{
	struct policy policy = asked->policy;
	__u64 id = asked->cgroup;
	struct cgroup *cgroup = bpf_cgroup_from_id(id), *pool;
	struct member member = {.call = id};
	int failed;

	if (!cgroup)
		return -ENOENT;
	pool = bpf_cgroup_from_id(policy.pool);
	if (!pool) {
		bpf_cgroup_release(cgroup);
		return -ENOENT;
	}
	member.level = cgroup->level;
	member.pool = pool->level;
	bpf_cgroup_release(pool);
	failed = enter(cgroup, id, &policy);
	if (!failed)
		mark(cgroup, &member);
	bpf_cgroup_release(cgroup);
	return failed;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(inherit, struct cgroup *cgroup, const char *path)
{
	struct cgroup *parent = cgroup->self.parent->cgroup;
	struct member *theirs = bpf_cgrp_storage_get(&members, parent, 0, 0), mine;

	if (!theirs)
		return 0;
	mine = *theirs;
	bpf_cgrp_storage_get(&members, cgroup, &mine, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(forget, struct cgroup *cgroup, const char *path)
{
	__u64 id = cgroup->kn->id;

	drop(id);
	/* A session, or a pool. */
	bpf_map_delete_elem(&owners, &id);
	bpf_map_delete_elem(&pools, &id);
	bpf_map_delete_elem(&reserved, &id);
	return 0;
}

#endif
