// SPDX-License-Identifier: GPL-2.0-only
/* What the tests of the loader attach as a scheduler: only for tasks that ask, of which are none. */
#include "kernel.h"

#define SCX_OPS_SWITCH_PARTIAL 8
#define SCX_DSQ_GLOBAL 0x8000000000000001ull
#define SCX_SLICE_DFL 20000000

struct sched_ext_ops {
	void (*enqueue)(struct task_struct *task, __u64 flags);
	__u64 flags;
	char name[128];
};

extern void scx_bpf_dsq_insert(struct task_struct *task, __u64 queue, __u64 slice, __u64 flags) __ksym;

__u64 enqueued;

SEC("struct_ops/enqueue")
void BPF_PROG(fifo_enqueue, struct task_struct *task, __u64 flags)
{
	__sync_fetch_and_add(&enqueued, 1);
	scx_bpf_dsq_insert(task, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops fifo_ops = {
	.enqueue = (void *)fifo_enqueue,
	.flags = SCX_OPS_SWITCH_PARTIAL,
	.name = "agentcg_fifo",
};

char LICENSE[] SEC("license") = "GPL";
