/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel.h: the few kernel types, enums and kfuncs that our programs use.
 *
 * Only the fields that are read are declared. `preserve_access_index` makes libbpf look each of
 * them up in the running kernel's BTF when an object is loaded (CO-RE), so neither their offsets nor
 * their order here matter, and no generated vmlinux.h is needed. A type whose name ends in ___xyz is
 * a variant of the same kernel type.
 */
#ifndef AGENTCG_KERNEL_H
#define AGENTCG_KERNEL_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* Newer than the kernel headers of some machines that this is compiled on. */
#define BPF_MAP_TYPE_CGRP_STORAGE 32
struct bpf_task_work {
	__u64 opaque;
} __attribute__((aligned(8)));

#define KTYPE __attribute__((preserve_access_index))

/* Whole types: libbpf does not take a kfunc's prototype that has a mere declaration in it. */
struct bpf_map {
	__u32 id;
} KTYPE;
struct cpumask {
	unsigned long bits[1];
} KTYPE;

typedef struct KTYPE {
	long long counter;
} atomic64_t;

struct page_counter {
	atomic64_t usage; /* pages, of this cgroup and all below */
	struct page_counter *parent;
} KTYPE;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
	unsigned int flags;
} KTYPE;

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
} KTYPE;

struct kernfs_node {
	__u64 id;
} KTYPE;

struct cgroup {
	struct cgroup_subsys_state self;
	struct cgroup_subsys_state *subsys[1];
	struct kernfs_node *kn;
	int level; /* 0 is the root */
	struct cgroup *ancestors[1]; /* by level, itself the last */
} KTYPE;

struct css_set {
	struct cgroup_subsys_state *subsys[1]; /* of the cgroup, or the nearest above that has it */
	struct cgroup *dfl_cgrp;
} KTYPE;

struct sched_ext_entity {
	__u64 dsq_vtime;
	__u32 flags;
} KTYPE;

typedef struct KTYPE {
	unsigned long sig[1];
} sigset_t;

struct sigpending {
	sigset_t signal;
} KTYPE;

typedef struct KTYPE {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
	struct sigpending shared_pending;
	struct task_struct *group_exec_task; /* it waits for all others to die */
	unsigned int flags;
} KTYPE;

struct sched_entity {
	__u64 sum_exec_runtime;
} KTYPE;

struct mm_struct {
	unsigned long arg_start, arg_end, env_start, env_end;
} KTYPE;

struct ns_common {
	unsigned int inum;
} KTYPE;

struct pid_namespace {
	struct ns_common ns;
} KTYPE;

struct upid {
	int nr;
	struct pid_namespace *ns;
} KTYPE;

struct pid {
	unsigned int level;
	struct upid numbers[1]; /* one for each namespace, from the initial one */
} KTYPE;

struct thread_info {
	unsigned long flags;
	__u32 status; /* not everywhere */
} KTYPE;

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int pid;
	int tgid;
	char comm[16];
	__u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct mm_struct *mm;
	int nr_cpus_allowed;
	const struct cpumask *cpus_ptr;
	unsigned short migration_disabled;
	unsigned long jobctl;
	struct css_set *cgroups;
	struct signal_struct *signal;
	sigset_t blocked;
	struct sigpending pending;
	struct sched_entity se;
	struct sched_ext_entity scx;
} KTYPE;

struct gendisk {
	char disk_name[32];
} KTYPE;

struct request_queue {
	struct gendisk *disk;
} KTYPE;

struct blkcg {
	struct cgroup_subsys_state css;
} KTYPE;

struct blkcg_gq {
	struct blkcg *blkcg;
} KTYPE;

struct bio {
	struct blkcg_gq *bi_blkg; /* not there in a kernel without block cgroups */
} KTYPE;

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	struct bio *bio;
} KTYPE;

enum cgroup_subsys_id { memory_cgrp_id = 4 };

#define CSS_ONLINE (1u << 1)
#define PF_EXITING 0x00000004
#define PF_IO_WORKER 0x00000010
#define PF_USER_WORKER 0x00004000
#define PF_KTHREAD 0x00200000
#define JOBCTL_TRAP_FREEZE (1ul << 23)
#define SIGNAL_GROUP_EXIT 0x00000004
#define SIGKILL_BIT (1ul << 8)
#define SCX_TASK_QUEUED 1 /* one that runs is, too */
#define SCX_KICK_IDLE 1
#define SCX_KICK_PREEMPT 2

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgroup) __ksym;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern void scx_bpf_kick_cpu(__s32 cpu, __u64 flags) __ksym;

#endif
