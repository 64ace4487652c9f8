/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * scx.h: what we use of sched_ext (Documentation/scheduler/sched-ext.rst), declared by hand.
 *
 * struct sched_ext_ops has only the members that are set here: libbpf matches them to the running
 * kernel's by name, and those that we leave out are zero there.
 */
#ifndef AGENTCG_SCX_H
#define AGENTCG_SCX_H

#include "kernel.h"

#define SCX_DSQ_LOCAL ((1ull << 63) | 2)
#define SCX_DSQ_LOCAL_ON ((1ull << 63) | (1ull << 62))

#define SCX_OPS_ENQ_LAST (1ull << 1)
#define SCX_OPS_SWITCH_PARTIAL (1ull << 3)
#define SCX_OPS_ENQ_MIGRATION_DISABLED (1ull << 4)
#define SCX_ENQ_LAST (1ull << 41)

struct scx_init_task_args;
struct scx_exit_task_args;
struct scx_cgroup_init_args {
	__u32 weight;
	__u64 bw_period_us;
	__u64 bw_quota_us;
	__u64 bw_burst_us;
} KTYPE;
enum scx_exit_kind { SCX_EXIT_NONE };
struct scx_exit_info {
	enum scx_exit_kind kind;
	__s64 exit_code;
	const char *reason;
	char *msg;
} KTYPE;

struct sched_ext_ops {
	__s32 (*select_cpu)(struct task_struct *task, __s32 prev_cpu, __u64 wake_flags);
	void (*enqueue)(struct task_struct *task, __u64 enq_flags);
	void (*dispatch)(__s32 cpu, struct task_struct *prev);
	void (*tick)(struct task_struct *task);
	void (*runnable)(struct task_struct *task, __u64 enq_flags);
	void (*running)(struct task_struct *task);
	void (*stopping)(struct task_struct *task, bool runnable);
	void (*quiescent)(struct task_struct *task, __u64 deq_flags);
	__s32 (*cgroup_init)(struct cgroup *cgroup, struct scx_cgroup_init_args *args);
	void (*cgroup_exit)(struct cgroup *cgroup);
	void (*cgroup_set_weight)(struct cgroup *cgroup, __u32 weight);
	void (*cgroup_set_bandwidth)(struct cgroup *cgroup, __u64 period_us, __u64 quota_us,
				     __u64 burst_us);
	void (*cpu_online)(__s32 cpu);
	void (*cpu_offline)(__s32 cpu);
	__s32 (*init)(void);
	void (*exit)(struct scx_exit_info *info);
	__u64 flags;
	__u32 timeout_ms;
	char name[128];
};

struct bpf_iter_scx_dsq {
	__u64 opaque[6];
} __attribute__((aligned(8)));

extern void scx_bpf_dsq_insert(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 flags) __ksym;
extern void scx_bpf_dsq_insert_vtime(struct task_struct *p, __u64 dsq_id, __u64 slice, __u64 vtime,
				     __u64 flags) __ksym;
extern bool scx_bpf_dsq_move_to_local(__u64 dsq_id) __ksym;
extern bool scx_bpf_dsq_move(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, __u64 dsq_id,
			     __u64 enq_flags) __ksym;
extern bool scx_bpf_task_set_slice(struct task_struct *p, __u64 slice) __ksym;
extern bool scx_bpf_task_set_dsq_vtime(struct task_struct *p, __u64 vtime) __ksym;
extern __s32 scx_bpf_dsq_nr_queued(__u64 dsq_id) __ksym;
extern __s32 scx_bpf_create_dsq(__u64 dsq_id, __s32 node) __ksym;
extern __s32 scx_bpf_select_cpu_dfl(struct task_struct *p, __s32 prev_cpu, __u64 wake_flags,
				    bool *is_idle) __ksym;
extern __s32 scx_bpf_pick_idle_cpu(const struct cpumask *cpus_allowed, __u64 flags) __ksym;
extern bool bpf_cpumask_test_cpu(__u32 cpu, const struct cpumask *cpumask) __ksym;
extern __s32 scx_bpf_task_cpu(const struct task_struct *p) __ksym;
extern __u32 scx_bpf_nr_cpu_ids(void) __ksym;
extern void scx_bpf_kick_cpu(__s32 cpu, __u64 flags) __ksym;
extern void scx_bpf_exit_bstr(__s64 exit_code, char *fmt, unsigned long long *data,
			      __u32 data__sz) __ksym;
extern int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, __u64 dsq_id, __u64 flags) __ksym;
extern struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it) __ksym;
extern void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern struct cgroup *scx_bpf_task_cgroup(struct task_struct *p) __ksym;

#endif
