// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probe: is a scheduler accepted that kicks a CPU? It is loaded and never attached. The reference
 * to the kernel function is a strong one, so that libbpf says what is wrong with it.
 */
#include "kernel.h"

/* Only what is used; libbpf finds the members by name. */
struct sched_ext_ops {
	void (*enqueue)(struct task_struct *task, __u64 flags);
	char name[128];
};

extern void scx_bpf_kick_cpu(__s32 cpu, __u64 flags) __ksym;

SEC("struct_ops/enqueue")
void BPF_PROG(probe_enqueue, struct task_struct *task, __u64 flags)
{
	scx_bpf_kick_cpu(bpf_get_smp_processor_id(), 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops probe_ops = {
	.enqueue = (void *)probe_enqueue,
	.name = "agentcg_probe",
};

char LICENSE[] SEC("license") = "GPL";
