/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cgroups.h: what the kernel tells a scheduler of cgroups: made, removed, a weight or a quota set.
 *
 * It tells it only of cgroups that have the CPU controller; at the start, of all there are, parents
 * first. A task in a cgroup without it counts for the next one above that has it. Deeper than
 * LEVELS there is no CPU controller while the scheduler is attached: to enable it fails with E2BIG.
 */
#ifndef AGENTCG_CGROUPS_H
#define AGENTCG_CGROUPS_H

#include "shares.h"

#define TOO_DEEP -7 /* E2BIG */
#define NO_MEMORY -12

SEC("struct_ops.s/cgroup_init")
__s32 BPF_PROG(cgroup_init, struct cgroup *cgroup, struct scx_cgroup_init_args *args)
{
	struct node fresh = {.weight = args->weight, .credit = CREDIT, .vtime = clock}, *above, *node;
	struct cgroup *parent;

	/* Where the walks end it could not be told from the whole machine. */
	if (cgroup->level >= LEVELS)
		return TOO_DEEP;
	fresh.credit_at = bpf_ktime_get_ns();
	set_quota(&fresh.quota, args->bw_period_us, args->bw_quota_us, args->bw_burst_us,
		  fresh.credit_at);
	bpf_rcu_read_lock();
	parent = parent_of(cgroup);
	above = parent ? node_of(parent) : NULL;
	if (above)
		lend(&fresh, above, fresh.credit_at);
	bpf_rcu_read_unlock();
	node = bpf_cgrp_storage_get(&nodes, cgroup, &fresh, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!node)
		return NO_MEMORY;
	/* It has an old one if its CPU controller was taken away and given back. */
	*node = fresh;
	return 0;
}

SEC("struct_ops/cgroup_exit")
void BPF_PROG(cgroup_exit, struct cgroup *cgroup)
{
	struct cgroup *parent = parent_of(cgroup);
	struct node *node = node_of(cgroup), *above = parent ? node_of(parent) : NULL;

	if (node && above)
		give_back(node, above);
}

SEC("struct_ops/cgroup_set_weight")
void BPF_PROG(cgroup_set_weight, struct cgroup *cgroup, __u32 weight)
{
	struct cgroup *parent = parent_of(cgroup);
	struct node *node = node_of(cgroup), *above = parent ? node_of(parent) : NULL;

	if (!node)
		return;
	if (above && node->active)
		__sync_fetch_and_add(&above->sum, weight - node->weight);
	node->weight = weight;
	__sync_fetch_and_add(&rounds, 1);
}

SEC("struct_ops/cgroup_set_bandwidth")
void BPF_PROG(cgroup_set_bandwidth, struct cgroup *cgroup, __u64 period_us, __u64 quota_us,
	      __u64 burst_us)
{
	struct node *node = node_of(cgroup);

	if (!node)
		return;
	set_quota(&node->quota, period_us, quota_us, burst_us, bpf_ktime_get_ns());
	__sync_fetch_and_add(&rounds, 1);
}

#endif
