/* SPDX-License-Identifier: GPL-2.0-only */
/* tracer.h: what the questions of tracer.bpf.c have in common: whom it is about, and how it is told. */
#ifndef AGENTCG_TRACER_H
#define AGENTCG_TRACER_H

#include "kernel.h"
#include "shared.h"

#define LEVELS 64 /* of cgroups that are walked */
#define LEAF 2	  /* a call's cgroup is so far below its session's: session/agentcg.calls/call */

volatile const __u64 inside = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} traced_events SEC(".maps");

/* Records that found no room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* So that the type information, which Python's copy is checked by, has the whole struct. */
const struct traced *type_of_traced __attribute__((unused));

/* Whether the current task is in or below `inside`; `leaf` becomes the cgroup that names it. */
static __always_inline bool current_inside(__u64 *leaf)
{
	for (int level = 1; level < LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return false;
		if (id == inside) {
			*leaf = bpf_get_current_ancestor_cgroup_id(level + LEAF);
			return true;
		}
	}
	return false;
}

/* The same of a cgroup, by its state in some controller. */
static __always_inline bool css_inside(struct cgroup_subsys_state *css, __u64 *leaf)
{
	__u64 id, below = 0, two_below = 0;

	for (int level = 0; level < LEVELS && css; level++) {
		id = css->cgroup->kn->id;
		if (id == inside) {
			*leaf = two_below;
			return true;
		}
		two_below = below;
		below = id;
		css = css->parent;
	}
	return false;
}

static __always_inline struct traced *reserve(__u32 what, __u64 leaf)
{
	struct traced *one = bpf_ringbuf_reserve(&traced_events, sizeof(*one), 0);

	if (!one) {
		__u32 first = 0;
		__u64 *count = bpf_map_lookup_elem(&lost, &first);

		if (count)
			__sync_fetch_and_add(count, 1);
		return NULL;
	}
	one->at = bpf_ktime_get_ns();
	one->leaf = leaf;
	one->took = 0;
	one->bytes = 0;
	one->pid = bpf_get_current_pid_tgid() >> 32;
	one->what = what;
	one->result = 0;
	one->size = 0;
	bpf_get_current_comm(one->comm, sizeof(one->comm));
	return one;
}

#endif
