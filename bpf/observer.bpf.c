// SPDX-License-Identifier: GPL-2.0-only
/*
 * observer.bpf.c: tells the daemon which processes an agent starts outside any call.
 *
 * What. A harness that knows nothing of agentcg starts its commands in its session's `agentcg.agent`.
 * Who wants to know them, or to give each a call of its own, has to see every fork, exec and exit
 * there, and nothing else: what a call does in its own cgroup belongs to it whoever starts it.
 *
 * How. Three tracepoints of the scheduler, which are called in the context of the process that forks,
 * execs or exits. Each looks whether the current cgroup, or one above it, is in the map `watched`: one
 * look-up a level, three to five on most hosts. If so a record goes into the ring buffer. That of an
 * exec has the arguments and the environment with it, read from the new stack: the kernel has just
 * written them there, so the pages are present, and a read that may not fault gets them. To read them
 * from /proc instead would be later (a short command is gone by then), and it is a read that the
 * process can stop for good, by putting its arguments on a page that user space fills.
 *
 * Work is bounded where it is made: of one watched cgroup at most `rate` records a second are sent, of all
 * together at most `total`, and what is not sent is counted in the cgroup's own entry. So a fork storm
 * costs the daemon no more than that, and one agent's takes only a part of it from the others.
 *
 * Worked example. Session cgroup 40, its agent 41, rate 500. The agent's shell 900 (in 41) runs `make`:
 *
 *   FORK agent=41 pid=901 parent=900
 *   EXEC agent=41 pid=901 parent=900 args="make\0" env="HOME=/root\0CLAUDECODE=1\0..."
 *
 * The daemon makes a call, cgroup 42, and moves 901 there. The compilers that `make` forks from then
 * on are born in 42, which is not below 41: no record. Those that it forked before had a FORK each.
 *
 * Limits.
 * - Moving comes after the exec: what a process charged, and forked, meanwhile is where it was.
 * - The end of a process that has left the watched cgroups is not told; who keeps a table of pids has
 *   to compare start times, and to bound the table.
 * - A fork straight into another cgroup (CLONE_INTO_CGROUP) is told where the parent is.
 * - Arguments beyond SEEN_ARGS bytes and all but the last SEEN_ENV bytes of the environment are cut. A
 *   process may write into both as it likes: they are hints, never proof.
 * - Concurrent records of one cgroup may miss a count of each other: the rate is no exact number.
 */
#include "kernel.h"
#include "shared.h"

char _license[] SEC("license") = "GPL";

#define LEVELS 24 /* of cgroups that are walked, downwards */
#define SECOND 1000000000ull
#define SESSIONS 4096

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SESSIONS);
	__type(key, __u64);
	__type(value, struct watched);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 * 1024 * 1024);
} seen_events SEC(".maps");

volatile const __u32 rate = 500;
volatile const __u32 total = 2000;

/* So that the type information, which Python's copy is checked by, has the whole struct. */
const struct seen_exec *type_of_seen_exec __attribute__((unused));

/* The watched cgroup that the current task is in or below; `id` becomes its id. */
static __always_inline struct watched *watched_above(__u64 *id)
{
	struct watched *found = NULL;

	for (int level = 1; level < LEVELS && !found; level++) {
		*id = bpf_get_current_ancestor_cgroup_id(level);
		if (!*id)
			break;
		found = bpf_map_lookup_elem(&watched, id);
	}
	return found;
}

static __always_inline bool under(struct watched *one, __u64 second, __u32 most)
{
	if (one->second != second) {
		one->second = second;
		one->count = 0;
	}
	if (one->count >= most)
		return false;
	__sync_fetch_and_add(&one->count, 1);
	return true;
}

static __always_inline bool within_rate(struct watched *agent)
{
	__u64 second = bpf_ktime_get_ns() / SECOND, none = 0;
	struct watched *all = bpf_map_lookup_elem(&watched, &none);

	if (all && under(agent, second, rate) && under(all, second, total))
		return true;
	__sync_fetch_and_add(&agent->dropped, 1);
	return false;
}

static __always_inline void describe(struct seen *seen, struct task_struct *task,
				     struct task_struct *parent, __u64 agent, __u32 what)
{
	*seen = (struct seen){
		.agent = agent,
		.start = task->group_leader->start_boottime,
		.pid = task->tgid,
		.parent = parent->tgid,
		.what = what,
	};
}

static __always_inline void tell(struct watched *agent, __u64 id, struct task_struct *task,
				 struct task_struct *parent, __u32 what)
{
	struct seen *seen = bpf_ringbuf_reserve(&seen_events, sizeof(*seen), 0);

	if (!seen) {
		__sync_fetch_and_add(&agent->dropped, 1);
		return;
	}
	describe(seen, task, parent, id, what);
	bpf_ringbuf_submit(seen, 0);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(seen_fork, struct task_struct *parent, struct task_struct *child)
{
	struct watched *agent;
	__u64 id;

	/* A thread. */
	if (child->pid != child->tgid)
		return 0;
	agent = watched_above(&id);
	if (agent && within_rate(agent))
		tell(agent, id, child, parent, SEEN_FORK);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(seen_exec, struct task_struct *task)
{
	unsigned long args, env, env_start;
	struct mm_struct *mm = task->mm;
	struct watched *agent;
	struct seen_exec *one;
	__u64 id;

	agent = watched_above(&id);
	if (!agent || !within_rate(agent))
		return 0;
	one = bpf_ringbuf_reserve(&seen_events, sizeof(*one), 0);
	if (!one) {
		__sync_fetch_and_add(&agent->dropped, 1);
		return 0;
	}
	describe(&one->seen, task, task->real_parent, id, SEEN_EXEC);
	args = mm->arg_end - mm->arg_start;
	if (args > SEEN_ARGS)
		args = SEEN_ARGS;
	if (!bpf_probe_read_user(one->args, args, (void *)mm->arg_start))
		one->seen.args = args;
	/* What a harness adds for its commands comes last. */
	env_start = mm->env_start;
	env = mm->env_end - env_start;
	if (env > SEEN_ENV) {
		env_start = mm->env_end - SEEN_ENV;
		env = SEEN_ENV;
	}
	if (!bpf_probe_read_user(one->env, env, (void *)env_start))
		one->seen.env = env;
	bpf_ringbuf_submit(one, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(seen_exit, struct task_struct *task)
{
	struct watched *agent;
	__u64 id;

	if (task->pid != task->tgid)
		return 0;
	agent = watched_above(&id);
	if (agent && within_rate(agent))
		tell(agent, id, task, task->real_parent, SEEN_EXIT);
	return 0;
}
