// SPDX-License-Identifier: GPL-2.0-only
/* Probe: may a program look up what is stored with its task's cgroup? */
#include "kernel.h"

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} storage SEC(".maps");

SEC("tp_btf/sched_process_fork")
int BPF_PROG(probe_cgroup_storage)
{
	struct task_struct *task = bpf_get_current_task_btf();

	bpf_cgrp_storage_get(&storage, task->cgroups->dfl_cgrp, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
