// SPDX-License-Identifier: GPL-2.0-only
/*
 * scheduler.bpf.c: CPU for sessions and calls by weight, quick for short calls, and the park queues.
 *
 * What. Two jobs that only a scheduler can do. It holds the threads that the governor delays
 * (bpf/governor.bpf.c), and it shares the CPUs between cgroups as cpu.weight says, with a head
 * start for calls that have used little CPU of late.
 *
 * Sharing. Every cgroup has a virtual clock, which runs with the CPU time of its own tasks divided
 * by its share of the machine. All runnable tasks are in one queue, ordered by their cgroup's clock,
 * so the cgroup that is furthest behind runs next. The share is compounded from the root down:
 *
 *   share(cgroup) = share(parent) x weight / sum of the weights of the parent's active children
 *
 * Active is what has a runnable task in or below it; its own tasks count as one child of weight 100.
 * Example: sessions A (weight 200) and B (100), in B two calls of 100. While all run, A has 2/3, each
 * call 1/6, and their clocks run 1.5 and 6 ns a ns. When A sleeps, each call has 1/2.
 *
 * Head start. A cgroup that rested has a credit of CPU time (100 ms, back at a tenth of a core).
 * While it lasts, its tasks queue up to 20 ms of virtual time ahead, get short slices and preempt
 * a task without credit: an editor's command runs at once beside eight compilers, and a long build
 * decays to its share. A cgroup that sleeps gets no more than that: its clock is drawn along.
 *
 * Parking. A task that the governor marked is preempted at its return to user mode. `enqueue` then
 * puts it on the park queue of its CPU (it may not migrate there), ordered by the end of its
 * quantum. `dispatch` takes out whoever is due, must go (a signal, a freeze), or whose pool has
 * room again; the timer has the CPUs look, every 4 ms, only while somebody is parked.
 *
 * Silence. When the daemon was not heard of for its dead-man time, the timer leaves by
 * scx_bpf_exit(): the kernel's own scheduler takes over with the native weights, and parked tasks
 * run on.
 *
 * Limits. One queue for all CPUs: made for hosts of some tens of CPUs, not hundreds. cpu.max is not
 * honoured yet. Up to 1024 CPUs.
 */
#include "scx.h"
#include "maps.h"

char _license[] SEC("license") = "GPL";

#define READY 0x100ull   /* the queue of all runnable tasks */
#define PARKED 0x10000ull /* + CPU: its park queue */
#define CPUS 1024
#define MS 1000000ull
#define SLICE (5 * MS)
#define SLICE_QUICK (1 * MS)
#define HEAD_START (20 * MS)
#define CREDIT (100 * MS)
#define REFILL 10 /* a tenth of a core */
#define TICK (4 * MS)
#define ONE (1ull << 20) /* the whole machine, in shares */
#define FURTHEST (1000 * MS) /* that anybody waits, about: the watchdog's patience is 10 s */
#define OWN_WEIGHT 100
#define CLOCK_MONOTONIC 1
#define SILENT 1 /* exit code: the daemon was not heard of */

struct node {
	__u64 vtime;   /* the virtual clock of its own tasks */
	__u64 share;   /* of ONE, as of `round` */
	__u64 round;
	__u64 credit;  /* CPU time of its head start that is left, as of `credit_at` */
	__u64 credit_at;
	__u32 weight;
	__u32 sum;     /* of the weights of what is active in it */
	__u32 active;  /* how many children are, and it itself if a task of its own is runnable */
	__u32 tasks;   /* runnable tasks of its own */
};
struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct node);
} nodes SEC(".maps");

struct cpu {
	__u64 since; /* when its task was last charged for */
	__u32 quick; /* that task has credit */
	__u32 look;  /* somebody on its park queue may have to go */
	__u32 gone;  /* it is going offline: nobody may wait for it */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CPUS);
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

struct ticker {
	struct bpf_timer timer;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ticker);
} tickers SEC(".maps");

__u64 clock;     /* the furthest virtual time that a running task was queued by */
__u64 rounds;    /* how often weights or activity changed */
__u64 ticks;     /* of the timer: doctor looks whether it moves */
int nr_cpus;
int exit_kind;
char exit_text[128];

static __always_inline struct node *node_of(struct cgroup *cgroup)
{
	return bpf_cgrp_storage_get(&nodes, cgroup, 0, 0);
}

static __always_inline struct cgroup *parent_of(struct cgroup *cgroup)
{
	struct cgroup_subsys_state *above = cgroup->self.parent;

	return above ? above->cgroup : NULL;
}

static __always_inline struct cpu *cpu_of(__s32 id)
{
	__u32 key = id;

	return bpf_map_lookup_elem(&cpus, &key);
}

/* A task of the cgroup became runnable, or the last one stopped being so: tell the levels above. */
static __always_inline void activity(struct cgroup *cgroup, bool begins)
{
	struct node *node = node_of(cgroup), *above;
	__u32 weight = OWN_WEIGHT, before;

	if (!node)
		return;
	if (begins ? __sync_fetch_and_add(&node->tasks, 1) : __sync_fetch_and_add(&node->tasks, -1) != 1)
		return;
	/* Its own tasks, then it itself, then its parent, up to where somebody is active anyway. */
	above = node;
	for (int i = 0; i < LEVELS && above; i++) {
		__sync_fetch_and_add(&above->sum, begins ? weight : -weight);
		before = __sync_fetch_and_add(&above->active, begins ? 1 : -1);
		if (begins ? before : before != 1)
			break;
		weight = above->weight;
		cgroup = parent_of(cgroup);
		above = cgroup ? node_of(cgroup) : NULL;
	}
	__sync_fetch_and_add(&rounds, 1);
}

/* The cgroup's share of the machine, computed anew when something changed. */
static __always_inline __u64 share_of(struct cgroup *cgroup, struct node *node)
{
	__u64 share = ONE, round = rounds, weight = OWN_WEIGHT;
	struct node *level = node;

	if (node->round == round && node->share)
		return node->share;
	for (int i = 0; i < LEVELS && level; i++) {
		__u64 sum = level->sum;

		/* Sums are corrected one after the other: for a moment one may be too small. */
		share = share * weight / (sum > weight ? sum : weight);
		weight = level->weight;
		cgroup = parent_of(cgroup);
		level = cgroup ? node_of(cgroup) : NULL;
	}
	node->share = share ?: 1;
	node->round = round;
	return node->share;
}

static __always_inline bool has_credit(struct node *node, __u64 now)
{
	__u64 rested = since(now, node->credit_at), credit = node->credit + rested / REFILL;

	node->credit = credit < CREDIT ? credit : CREDIT;
	node->credit_at += rested;
	return node->credit > SLICE_QUICK;
}

/*
 * The virtual clock of a cgroup, not too far behind (what it did not use while it slept is gone), and
 * not too far ahead: of N CPUs the clock runs N seconds a second, and everybody's turn has to come.
 */
static __always_inline __u64 caught_up(struct node *node)
{
	if ((__s64)(node->vtime - (clock - HEAD_START)) < 0)
		node->vtime = clock - HEAD_START;
	if ((__s64)(node->vtime - (clock + nr_cpus * FURTHEST)) > 0)
		node->vtime = clock + nr_cpus * FURTHEST;
	return node->vtime;
}

/* The end of a park quantum is in the past, or the task may not be kept any longer. */
static __always_inline bool released(struct task_struct *task, __u64 now)
{
	struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);

	return !hold || now >= hold->until || must_go(task) || relieved(task, hold);
}

SEC("struct_ops/select_cpu")
__s32 BPF_PROG(select_cpu, struct task_struct *task, __s32 prev_cpu, __u64 wake_flags)
{
	bool idle = false;
	__s32 cpu = scx_bpf_select_cpu_dfl(task, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(task, SCX_DSQ_LOCAL, SLICE, 0);
	return cpu;
}

SEC("struct_ops/enqueue")
void BPF_PROG(enqueue, struct task_struct *task, __u64 flags)
{
	struct hold *hold = bpf_task_storage_get(&holds, task, 0, 0);
	__s32 cpu = scx_bpf_task_cpu(task), idle;
	__u64 now = bpf_ktime_get_ns(), at;
	struct state *state = state_of();
	struct cpu *here = cpu_of(cpu);
	struct cgroup *cgroup;
	struct node *node;
	bool quick;

	if (hold && hold->parking && hold->until > now && state && here && !here->gone &&
	    !must_go(task)) {
		__sync_fetch_and_add(&state->parked, 1);
		scx_bpf_dsq_insert_vtime(task, PARKED + cpu, SLICE, hold->until, flags);
		return;
	}
	/*
	 * The kernel's per-CPU threads go first, and what is in a section that may not migrate stays.
	 * This program counts as one in migration_disabled, and so does the governor's, in which a
	 * task that may park is. User threads that are pinned get no such privilege.
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
	quick = node && has_credit(node, now);
	at = node ? caught_up(node) - (quick ? HEAD_START : 0) : clock;
	bpf_cgroup_release(cgroup);
	scx_bpf_dsq_insert_vtime(task, READY, quick ? SLICE_QUICK : SLICE, at, flags);
	idle = scx_bpf_pick_idle_cpu(task->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
	else if (quick && here && !here->quick)
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
}

/* Charge a cgroup for what its task has used of this CPU since it was last charged. */
static __always_inline void charge_for(struct cpu *here, struct cgroup *cgroup, struct node *node)
{
	__u64 now = bpf_ktime_get_ns(), used = since(now, here->since);

	here->since = now;
	__sync_fetch_and_add(&node->vtime, used * ONE / share_of(cgroup, node));
	node->credit = node->credit > used ? node->credit - used : 0;
}

/* While nobody waits, whoever runs is the one that is furthest behind. */
static __always_inline void draw_along(__u64 at)
{
	/* Beyond that it is no place in READY but the end of a park quantum. */
	if ((__s64)(at - clock) > 0 && at - clock <= 2 * nr_cpus * FURTHEST)
		clock = at;
}

/* Move to their CPU whose park is over, or all of its park queue. */
static __always_inline void unpark(__s32 cpu, bool all)
{
	struct state *state = state_of();
	__u64 now = bpf_ktime_get_ns();
	struct bpf_iter_scx_dsq it;
	struct task_struct *task;

	bpf_rcu_read_lock();
	if (!bpf_iter_scx_dsq_new(&it, PARKED + cpu, 0)) {
		while ((task = bpf_iter_scx_dsq_next(&it))) {
			if ((all || released(task, now)) &&
			    scx_bpf_dsq_move(&it, task, SCX_DSQ_LOCAL_ON | cpu, 0) && state)
				__sync_fetch_and_add(&state->parked, -1);
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	bpf_rcu_read_unlock();
}

SEC("struct_ops/dispatch")
void BPF_PROG(dispatch, __s32 cpu, struct task_struct *prev)
{
	struct cpu *here = cpu_of(cpu);
	struct hold *hold;
	struct node *node;

	if (here && here->look) {
		here->look = 0;
		unpark(cpu, false);
	}
	if (scx_bpf_dsq_move_to_local(READY) || !prev)
		return;
	/* Nobody else wants the CPU: on with it, unless the governor wants it parked. */
	hold = bpf_task_storage_get(&holds, prev, 0, 0);
	if (hold && hold->parking)
		return;
	scx_bpf_task_set_slice(prev, SLICE);
	node = node_of(prev->cgroups->dfl_cgrp);
	if (here && node) {
		charge_for(here, prev->cgroups->dfl_cgrp, node);
		draw_along(node->vtime);
	}
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

	if (here && node) {
		here->since = now;
		here->quick = has_credit(node, now);
		draw_along(scx_bpf_dsq_nr_queued(READY) ? task->scx.dsq_vtime : caught_up(node));
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
		charge_for(here, cgroup, node);
	bpf_cgroup_release(cgroup);
}

SEC("struct_ops.s/cgroup_init")
__s32 BPF_PROG(cgroup_init, struct cgroup *cgroup, struct scx_cgroup_init_args *args)
{
	struct node fresh = {.weight = args->weight, .credit = CREDIT, .vtime = clock};

	fresh.credit_at = bpf_ktime_get_ns();
	return bpf_cgrp_storage_get(&nodes, cgroup, &fresh, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
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

SEC("struct_ops/cpu_online")
void BPF_PROG(cpu_online, __s32 id)
{
	struct cpu *cpu = cpu_of(id);

	if (cpu)
		cpu->gone = 0;
}

SEC("struct_ops/cpu_offline")
void BPF_PROG(cpu_offline, __s32 id)
{
	struct cpu *cpu = cpu_of(id);

	if (cpu)
		cpu->gone = 1;
}

/* Every 4 ms: whoever is parked is looked at; and whether the daemon lives. */
static int tick(void *map, __u32 *key, struct bpf_timer *timer)
{
	static char words[] = "the daemon is silent";
	struct state *state = state_of();
	unsigned long long none = 0;
	struct cpu *cpu;

	ticks++;
	if (!governed(bpf_ktime_get_ns())) {
		scx_bpf_exit_bstr(SILENT, words, &none, 0);
		return 0;
	}
	for (int i = 0; state && state->parked && i < CPUS && i < nr_cpus; i++) {
		if (scx_bpf_dsq_nr_queued(PARKED + i) <= 0)
			continue;
		cpu = cpu_of(i);
		if (!cpu)
			continue;
		if (cpu->gone) {
			/* It does not dispatch any more, and waits for whoever may not leave it. */
			unpark(i, true);
			continue;
		}
		cpu->look = 1;
		scx_bpf_kick_cpu(i, SCX_KICK_PREEMPT);
	}
	bpf_timer_start(timer, TICK, 0);
	return 0;
}

SEC("struct_ops.s/init")
__s32 BPF_PROG(init)
{
	struct state *state = state_of();
	struct ticker *ticker;
	__u32 zero = 0;
	__s32 failed;

	nr_cpus = (int)scx_bpf_nr_cpu_ids();
	failed = nr_cpus > CPUS ? -7 : scx_bpf_create_dsq(READY, -1);
	for (int i = 0; !failed && i < CPUS && i < nr_cpus; i++)
		failed = scx_bpf_create_dsq(PARKED + i, -1);
	ticker = bpf_map_lookup_elem(&tickers, &zero);
	if (failed || !ticker || !state)
		return failed ?: -2;
	bpf_timer_init(&ticker->timer, &tickers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&ticker->timer, tick);
	bpf_timer_start(&ticker->timer, TICK, 0);
	state->parked = 0;
	state->scheduler = 1;
	return 0;
}

SEC("struct_ops/exit")
void BPF_PROG(leave, struct scx_exit_info *info)
{
	struct state *state = state_of();

	if (state)
		state->scheduler = 0;
	exit_kind = info->kind;
	bpf_probe_read_kernel_str(exit_text, sizeof(exit_text), info->msg);
}

SEC(".struct_ops.link")
struct sched_ext_ops agentcg = {
	.select_cpu = (void *)select_cpu,
	.enqueue = (void *)enqueue,
	.dispatch = (void *)dispatch,
	.runnable = (void *)runnable,
	.running = (void *)running,
	.stopping = (void *)stopping,
	.quiescent = (void *)quiescent,
	.cgroup_init = (void *)cgroup_init,
	.cgroup_set_weight = (void *)cgroup_set_weight,
	.cpu_online = (void *)cpu_online,
	.cpu_offline = (void *)cpu_offline,
	.init = (void *)init,
	.exit = (void *)leave,
	.flags = SCX_OPS_ENQ_LAST | SCX_OPS_ENQ_MIGRATION_DISABLED,
	.timeout_ms = 10000,
	.name = "agentcg",
};
