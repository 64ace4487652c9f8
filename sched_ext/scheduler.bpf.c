// SPDX-License-Identifier: GPL-2.0-only
/*
 * scheduler.bpf.c: CPU for sessions and calls by weight and quota, quick for short calls.
 *
 * What. While this scheduler is attached the kernel's own is out of work, and with it cpu.weight and
 * cpu.max as the kernel does them: so it does them itself. It gives calls that used little CPU of late
 * a head start, and holds the threads that have to wait for memory (bpf/governor.bpf.c) or for their
 * quota.
 *
 *   shares.h    a cgroup's share of the machine, its virtual clock, its head start
 *   quota.h     cpu.max of one cgroup
 *   parking.h   where held threads wait
 *   cgroups.h   cgroups that are made, removed, changed
 *   life.h      beginning, end, the timer, CPUs that come and go
 *   here        which task runs next on which CPU
 *
 * Who runs next. All runnable tasks are in one queue, ordered by the virtual clocks of their cgroups,
 * so the cgroup that is furthest behind its share comes first. A CPU takes the first at the end of a
 * slice, unless its own task is still before that. A task that wakes up takes an idle CPU, its
 * last one if it can. One with a head start queues in front, has short slices, and preempts a task
 * without; whatever else wakes up waits for its turn. So a fork storm costs its own cgroup: new tasks
 * have their cgroup's clock and credit, not one of their own.
 *
 * Worked example. Two CPUs, eight compilers in a batch call (weight 30), a shell in an interactive one
 * (300). The shell slept, so its clock is drawn along with the one of the compilers, 20 ms behind at
 * most, and it has up to 300 ms of credit. A key is hit: it queues another 20 ms in front, no CPU is
 * idle, one that runs a compiler is preempted, and takes the shell. If it runs `make` now, its credit
 * is gone after 0.3 s: then it gets 10/11 of the two CPUs and the compilers the rest, by their clocks.
 *
 * Limits (quota.h). Whoever runs is charged at each tick and at its end, by the kernel's own count, so
 * that cpu.stat and a quota agree. A thread whose cgroup, or one above it, has used up its quota
 * is held at its return to user mode, never before: it may hold locks. The time of threads that do
 * not return there (kernel threads, io_uring's workers) counts, and they are not held.
 *
 * Silence. When the daemon was not heard of for its dead-man time, the timer leaves by
 * scx_bpf_exit(): the kernel's own scheduler takes over with the native weights and quotas, and
 * parked tasks run on. However it ends, the kernel's reason is left in `farewells`.
 *
 * Partial mode. As `agentcg_partial` it has only tasks of policy SCHED_EXT: what the daemon places, and
 * its children. The kernel's scheduler has all others, and they come first: the fair class is above
 * this one. What is placed gets what they leave, and the kernel's ext_server sees to it that this is
 * never less than a twentieth. A task may leave by sched_setscheduler(); then nothing here reaches it.
 *
 * What it cannot.
 * - One queue for all CPUs: made for hosts of some tens of CPUs, not hundreds. Up to 1024 CPUs.
 * - Nice values: tasks of one cgroup are served in turn.
 * - A quota is left by up to a tick for each CPU, and that is a debt to the next period. A
 *   thread that gets signals all the time runs up to a tick for each 200 ms that it is held.
 * - In partial mode tasks of one cgroup may be of both classes: each has the whole of its quota.
 * - Above 4096 threads held in one cgroup the others go on; what they use is a debt to the rest.
 */
#include "cgroups.h"
#include "life.h"

char _license[] SEC("license") = "GPL";

#define SEARCH 64 /* CPUs that are looked at for one to preempt */

SEC("struct_ops/select_cpu")
__s32 BPF_PROG(select_cpu, struct task_struct *task, __s32 prev_cpu, __u64 wake_flags)
{
	bool idle = false;
	__s32 cpu = scx_bpf_select_cpu_dfl(task, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(task, SCX_DSQ_LOCAL, SLICE, 0);
	return cpu;
}

/* Make room for a quick task: on its CPU, or another that it may use, where none runs. */
static __always_inline void preempt(struct task_struct *task, __s32 first)
{
	for (int i = 0; i < SEARCH && i < nr_cpus; i++) {
		__u32 id = (__u32)(first + i) % (__u32)(nr_cpus ?: 1);
		struct cpu *cpu = cpu_of(id);

		if (!cpu || cpu->quick || cpu->gone || !bpf_cpumask_test_cpu(id, task->cpus_ptr))
			continue;
		/* The next quick task is to find another one. */
		cpu->quick = 1;
		scx_bpf_kick_cpu(id, SCX_KICK_PREEMPT);
		return;
	}
}

SEC("struct_ops/enqueue")
void BPF_PROG(enqueue, struct task_struct *task, __u64 flags)
{
	struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);
	__s32 cpu = scx_bpf_task_cpu(task), idle;
	__u64 now = bpf_ktime_get_ns(), at;
	struct cpu *here = cpu_of(cpu);
	struct cgroup *cgroup;
	struct node *node;
	bool quick;

	if (to_park(task, hold, now) && here && !here->gone) {
		cgroup = scx_bpf_task_cgroup(task);
		park(task, hold, cpu, cgroup, flags);
		bpf_cgroup_release(cgroup);
		return;
	}
	/*
	 * The kernel's per-CPU threads go first, and what is in a section that may not migrate stays.
	 * This program counts as one in migration_disabled, and so does the callback in which a task
	 * that may park is. User threads that are pinned get no such privilege.
	 */
	if (task->migration_disabled > 1 || (hold && hold->parking) ||
	    ((task->flags & PF_KTHREAD) && task->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(task, SCX_DSQ_LOCAL_ON | cpu, SLICE, flags);
		return;
	}
	/* The CPU is about to idle, and would not look at its local queue again without a kick. */
	if (flags & SCX_ENQ_LAST) {
		scx_bpf_dsq_insert(task, SCX_DSQ_LOCAL, SLICE, flags);
		scx_bpf_kick_cpu(cpu, 0);
		return;
	}
	cgroup = scx_bpf_task_cgroup(task);
	node = node_of(cgroup);
	quick = node && has_credit(node);
	at = node ? place_of(node) : clock;
	bpf_cgroup_release(cgroup);
	scx_bpf_dsq_insert_vtime(task, READY, quick ? SLICE_QUICK : SLICE, at, flags);
	idle = scx_bpf_pick_idle_cpu(task->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
	else if (quick)
		preempt(task, cpu);
}

/* Charge a task's cgroup for what it used since it was last charged, as cpu.stat will have it. */
static __always_inline void account(struct cpu *here, struct task_struct *task,
				    struct cgroup *cgroup, struct node *node)
{
	__u64 ran = task->se.sum_exec_runtime;

	charge(cgroup, node, since(ran, here->ran));
	here->ran = ran;
	here->quick = has_credit(node);
}

/* Whether a task that has used up its slice comes before all who wait: the kernel does not ask. */
static __always_inline bool still_first(struct task_struct *prev)
{
	struct node *node = node_of(prev->cgroups->dfl_cgrp);
	struct bpf_iter_scx_dsq it;
	struct task_struct *first;
	bool before = false;

	if (!node || !(prev->scx.flags & SCX_TASK_QUEUED))
		return false;
	if (!bpf_iter_scx_dsq_new(&it, READY, 0)) {
		first = bpf_iter_scx_dsq_next(&it);
		before = !first || (__s64)(place_of(node) - first->scx.dsq_vtime) < 0;
	}
	bpf_iter_scx_dsq_destroy(&it);
	return before;
}

SEC("struct_ops/dispatch")
void BPF_PROG(dispatch, __s32 cpu, struct task_struct *prev)
{
	struct cpu *here = cpu_of(cpu);
	struct hold *hold;
	bool stays = false;

	if (here && here->look) {
		here->look = 0;
		if (unpark(cpu)) {
			/* The kernel asks again when they have had their turn; so must another have. */
			scx_bpf_dsq_move_to_local(READY);
			return;
		}
	}
	if (prev) {
		hold = bpf_task_storage_get(&holds, prev, 0, 0);
		stays = !hold || !hold->parking;
	}
	/* On with it where nobody else wants the CPU, or nobody has waited for longer. */
	if ((stays && still_first(prev)) || (!scx_bpf_dsq_move_to_local(READY) && stays))
		scx_bpf_task_set_slice(prev, SLICE);
}

SEC("struct_ops/runnable")
void BPF_PROG(runnable, struct task_struct *task, __u64 flags)
{
	/* By its place among the CPU cgroups, which moves between quiescent and runnable. */
	struct cgroup *cgroup = scx_bpf_task_cgroup(task);

	activity(cgroup, true);
	bpf_cgroup_release(cgroup);
}

SEC("struct_ops/quiescent")
void BPF_PROG(quiescent, struct task_struct *task, __u64 flags)
{
	struct cgroup *cgroup = scx_bpf_task_cgroup(task);

	if (!was_parked(task))
		activity(cgroup, false);
	bpf_cgroup_release(cgroup);
}

SEC("struct_ops/running")
void BPF_PROG(running, struct task_struct *task)
{
	struct cpu *here = cpu_of(scx_bpf_task_cpu(task));
	struct cgroup *cgroup = scx_bpf_task_cgroup(task);
	struct node *node = node_of(cgroup);
	__u64 now = bpf_ktime_get_ns();

	if (was_parked(task)) {
		activity(cgroup, true);
		/* It has the end of its quantum for a place. */
		scx_bpf_task_set_dsq_vtime(task, clock);
	}
	if (here && node) {
		here->ran = task->se.sum_exec_runtime;
		here->quick = has_credit(node);
		draw_along(scx_bpf_dsq_nr_queued(READY) ? task->scx.dsq_vtime : caught_up(node, BEHIND));
		if (node->limited)
			hold_to_quota(task, cgroup, now);
	}
	bpf_cgroup_release(cgroup);
}

SEC("struct_ops/tick")
void BPF_PROG(tick, struct task_struct *task)
{
	struct cpu *here = cpu_of(scx_bpf_task_cpu(task));
	struct cgroup *cgroup = scx_bpf_task_cgroup(task);
	struct node *node = node_of(cgroup);
	__u64 now = bpf_ktime_get_ns();

	if (here && node) {
		account(here, task, cgroup, node);
		if (!scx_bpf_dsq_nr_queued(READY))
			draw_along(caught_up(node, BEHIND));
		if (node->limited)
			hold_to_quota(task, cgroup, now);
	}
	bpf_cgroup_release(cgroup);
}

SEC("struct_ops/stopping")
void BPF_PROG(stopping, struct task_struct *task, bool runnable)
{
	struct cpu *here = cpu_of(scx_bpf_task_cpu(task));
	struct cgroup *cgroup = scx_bpf_task_cgroup(task);
	struct node *node = node_of(cgroup);

	if (here && node)
		account(here, task, cgroup, node);
	bpf_cgroup_release(cgroup);
}

/* The same scheduler twice: sched_ext knows the two modes by a flag, and shows which by the name. */
#define SCHEDULER(NAME, FLAGS, PATIENCE)                                                           \
	SEC(".struct_ops.link")                                                                    \
	struct sched_ext_ops NAME = {                                                              \
		.select_cpu = (void *)select_cpu,                                                  \
		.enqueue = (void *)enqueue,                                                        \
		.dispatch = (void *)dispatch,                                                      \
		.runnable = (void *)runnable,                                                      \
		.running = (void *)running,                                                        \
		.tick = (void *)tick,                                                              \
		.stopping = (void *)stopping,                                                      \
		.quiescent = (void *)quiescent,                                                    \
		.cgroup_init = (void *)cgroup_init,                                                \
		.cgroup_exit = (void *)cgroup_exit,                                                \
		.cgroup_set_weight = (void *)cgroup_set_weight,                                    \
		.cgroup_set_bandwidth = (void *)cgroup_set_bandwidth,                              \
		.cpu_online = (void *)cpu_online,                                                  \
		.cpu_offline = (void *)cpu_offline,                                                \
		.init = (void *)init,                                                              \
		.exit = (void *)leave,                                                             \
		.flags = SCX_OPS_ENQ_LAST | SCX_OPS_ENQ_MIGRATION_DISABLED | (FLAGS),              \
		.timeout_ms = (PATIENCE),                                                          \
		.name = #NAME,                                                                     \
	}

SCHEDULER(agentcg, 0, 10000);
/* Who waits for the fair class may wait long: all that the kernel allows. */
SCHEDULER(agentcg_partial, SCX_OPS_SWITCH_PARTIAL, 30000);
