/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel.h: the few kernel types that our programs use.
 *
 * Only the fields that are read are declared. `preserve_access_index` makes libbpf look each of
 * them up in the running kernel's BTF when an object is loaded (CO-RE), so neither their offsets nor
 * their order here matter.
 */
#ifndef AGENTCG_KERNEL_H
#define AGENTCG_KERNEL_H

#include <linux/types.h>

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* Newer than the kernel headers of some machines that this is compiled on. */
#define BPF_MAP_TYPE_CGRP_STORAGE 32
struct bpf_task_work {
	__u64 opaque;
} __attribute__((aligned(8)));

#define KTYPE __attribute__((preserve_access_index))

struct cgroup;

/* In the prototype of a kernel function libbpf takes no mere declaration for the kernel's struct. */
struct bpf_map {
	__u32 id;
} KTYPE;

struct css_set {
	struct cgroup *dfl_cgrp;
} KTYPE;

struct task_struct {
	struct css_set *cgroups;
} KTYPE;

#endif
