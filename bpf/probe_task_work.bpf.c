// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probe: may a program ask for a callback at its task's return to user mode? The reference to the
 * kernel function is a strong one, so that libbpf says what is wrong with it.
 */
#include "kernel.h"

struct slot {
	struct bpf_task_work work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct slot);
} slots SEC(".maps");

extern int bpf_task_work_schedule_resume(struct task_struct *task, struct bpf_task_work *work,
					 void *map__map,
					 int (*callback)(struct bpf_map *, void *, void *)) __ksym;

static int resumed(struct bpf_map *map, void *key, void *value)
{
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(probe_task_work)
{
	struct task_struct *task = bpf_get_current_task_btf();
	int key = 0;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);

	if (slot)
		bpf_task_work_schedule_resume(task, &slot->work, &slots, resumed);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
