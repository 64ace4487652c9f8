// SPDX-License-Identifier: GPL-2.0-only
/*
 * tracer.bpf.c: what one session, or one call, does right now: `agentcg probe`.
 *
 * What. Somebody wants to know which files a call opens, where it connects to, what it starts, which disk
 * requests are on its account, who was killed for memory, or what system calls it spends its time in.
 * That costs too much to be recorded always, and is told to one person for as long as that one looks.
 *
 * How. A group of programs for each question, of which only those asked for are loaded. Each first
 * looks whether it is about the cgroup `inside` or one below it, and does nothing if not: by the current
 * task's ancestors, except for a victim of the OOM killer (its own cgroup; the killer is whoever wanted
 * memory) and for disk requests (the cgroup whose account they are on: a write happens long after, in a thread of
 * the kernel). What is told goes into a ring buffer. System calls are not told but counted, as there
 * may be millions. A system call's arguments are noted when it begins and read when it ends: by
 * then its answer is known and the kernel has had the path in its hands, so its page is there.
 *
 * Worked example. `agentcg probe open --call c-1`, whose cgroup has id 42. `cat /etc/hostname` runs there:
 *
 *   sys_enter openat  entered[thread] = { where=0x7ffd..., at=100 }
 *   sys_exit          result=3 took=5us text="/etc/hostname" cgroup=42
 *
 * Limits.
 * - Other threads of a process may change the path between the kernel's look at it and ours.
 * - What finds no room in the ring buffer is counted in `lost`, and not told.
 * - A kernel without the io controller for that cgroup accounts its requests to one above: not seen.
 * - 32-bit programs' system calls have other numbers, and count under those.
 * - A system call that is under way when this begins, or that never returns, is not seen.
 */
#include "kernel.h"
#include "shared.h"

char _license[] SEC("license") = "GPL";

#define LEVELS 24 /* of cgroups that are walked */
#define UNDER_WAY 16384
#define ADDRESS 128 /* bytes: as large as any socket's */
#define MAX_ERRNO 4095

volatile const __u64 inside = 0;
/* Of system calls: TRACED_OPEN or TRACED_CONNECT; 0 counts them all. */
volatile const __u32 wanted = 0;
/* Their numbers here; -1 where there is no such call. */
volatile const __s32 open_number = -1, openat_number = -1, openat2_number = -1, connect_number = -1;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} traced_events SEC(".maps");

/* Records that found no room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct entered {
	__u64 at;
	__u64 where; /* a path or an address, in the caller's memory */
	__u64 size;
	__u64 number;
};

/* System calls under way, by thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, UNDER_WAY);
	__type(key, __u32);
	__type(value, struct entered);
} entered SEC(".maps");

/* Requests under way: when they were issued, by the address of the kernel's record. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, UNDER_WAY);
	__type(key, __u64);
	__type(value, __u64);
} issued SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct syscall_count);
} syscall_counts SEC(".maps");

/* The registers of a system call; of the two the kernel has one. */
struct pt_regs___x86 {
	unsigned long di, si, dx;
} KTYPE;
struct pt_regs___arm64 {
	__u64 regs[3];
} KTYPE;

/* So that the type information, which Python's copy is checked by, has the whole struct. */
const struct traced *type_of_traced __attribute__((unused));

static __always_inline bool current_inside(void)
{
	for (int level = 1; level < LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return false;
		if (id == inside)
			return true;
	}
	return false;
}

/* The same of a cgroup, by its state in some controller. */
static __always_inline bool css_inside(struct cgroup_subsys_state *css)
{
	for (int level = 0; level < LEVELS && css; level++) {
		if (css->cgroup->kn->id == inside)
			return true;
		css = css->parent;
	}
	return false;
}

static __always_inline struct traced *reserve(__u32 what, __u64 cgroup)
{
	struct traced *one = bpf_ringbuf_reserve(&traced_events, sizeof(*one), 0);

	if (!one) {
		__u32 first = 0;
		__u64 *count = bpf_map_lookup_elem(&lost, &first);

		if (count)
			__sync_fetch_and_add(count, 1);
		return NULL;
	}
	one->at = bpf_ktime_get_ns();
	one->cgroup = cgroup;
	one->took = 0;
	one->bytes = 0;
	one->pid = bpf_get_current_pid_tgid() >> 32;
	one->what = what;
	one->result = 0;
	one->size = 0;
	bpf_get_current_comm(one->comm, sizeof(one->comm));
	return one;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_done, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	struct traced *one;
	__u64 size;

	if (!current_inside())
		return 0;
	one = reserve(TRACED_EXEC, bpf_get_current_cgroup_id());
	if (!one)
		return 0;
	size = mm->arg_end - mm->arg_start;
	if (size > TRACED_TEXT)
		size = TRACED_TEXT;
	if (!bpf_probe_read_user(one->text, size, (void *)mm->arg_start))
		one->size = size;
	bpf_ringbuf_submit(one, 0);
	return 0;
}

static __always_inline __u64 argument(struct pt_regs *registers, int which)
{
	struct pt_regs___x86 *x86 = (void *)registers;
	struct pt_regs___arm64 *arm64 = (void *)registers;

	if (!bpf_core_field_exists(x86->di))
		return which == 0 ? arm64->regs[0] : which == 1 ? arm64->regs[1] : arm64->regs[2];
	return which == 0 ? x86->di : which == 1 ? x86->si : x86->dx;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(call_enter, struct pt_regs *registers, long number)
{
	struct entered now = { .number = number };
	__u32 thread = bpf_get_current_pid_tgid();

	if (wanted == TRACED_CONNECT) {
		if (number != connect_number)
			return 0;
		now.where = argument(registers, 1);
		now.size = argument(registers, 2);
	} else if (wanted == TRACED_OPEN) {
		if (number == openat_number || number == openat2_number)
			now.where = argument(registers, 1);
		else if (number == open_number)
			now.where = argument(registers, 0);
		else
			return 0;
	}
	if (!current_inside())
		return 0;
	now.at = bpf_ktime_get_ns();
	bpf_map_update_elem(&entered, &thread, &now, BPF_ANY);
	return 0;
}

static __always_inline void count(struct entered *was, long result)
{
	struct syscall_count *one, none = {};
	__u32 number = was->number;

	one = bpf_map_lookup_elem(&syscall_counts, &number);
	if (!one) {
		bpf_map_update_elem(&syscall_counts, &number, &none, BPF_NOEXIST);
		one = bpf_map_lookup_elem(&syscall_counts, &number);
		if (!one)
			return;
	}
	__sync_fetch_and_add(&one->calls, 1);
	__sync_fetch_and_add(&one->took, bpf_ktime_get_ns() - was->at);
	if (result < 0 && result >= -MAX_ERRNO)
		__sync_fetch_and_add(&one->errors, 1);
}

static __always_inline void tell(struct entered *was, long result)
{
	struct traced *one = reserve(wanted, bpf_get_current_cgroup_id());
	__u64 size = was->size;
	long found;

	if (!one)
		return;
	one->took = one->at - was->at;
	one->result = result;
	if (wanted == TRACED_OPEN) {
		found = bpf_probe_read_user_str(one->text, TRACED_TEXT, (void *)was->where);
		one->size = found > 0 ? found - 1 : 0;
	} else {
		if (size > ADDRESS)
			size = ADDRESS;
		if (!bpf_probe_read_user(one->text, size, (void *)was->where))
			one->size = size;
	}
	bpf_ringbuf_submit(one, 0);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(call_exit, struct pt_regs *registers, long result)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct entered *found = bpf_map_lookup_elem(&entered, &thread), was;

	if (!found)
		return 0;
	was = *found;
	bpf_map_delete_elem(&entered, &thread);
	if (wanted)
		tell(&was, result);
	else
		count(&was, result);
	return 0;
}

SEC("tp_btf/mark_victim")
int BPF_PROG(oom_victim, struct task_struct *task)
{
	struct cgroup *cgroup = task->cgroups->dfl_cgrp;
	struct traced *one;

	if (!css_inside(&cgroup->self))
		return 0;
	one = reserve(TRACED_OOM, cgroup->kn->id);
	if (!one)
		return 0;
	one->pid = task->tgid;
	bpf_probe_read_kernel(one->comm, sizeof(one->comm), task->comm);
	bpf_ringbuf_submit(one, 0);
	return 0;
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(request_issue, struct request *request)
{
	__u64 key = (__u64)request, now = bpf_ktime_get_ns();

	/* Flushes and the like are on nobody's account. */
	if (request->bio && request->bio->bi_blkg && css_inside(&request->bio->bi_blkg->blkcg->css))
		bpf_map_update_elem(&issued, &key, &now, BPF_ANY);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(request_complete, struct request *request, __u8 status, unsigned int bytes)
{
	__u64 key = (__u64)request, *since = bpf_map_lookup_elem(&issued, &key);
	struct traced *one;

	if (!since)
		return 0;
	if (request->bio && request->bio->bi_blkg) {
		one = reserve(TRACED_BLOCKIO, request->bio->bi_blkg->blkcg->css.cgroup->kn->id);
		if (one) {
			one->took = one->at - *since;
			one->bytes = bytes;
			one->pid = 0;
			one->comm[0] = 0;
			one->result = -status;
			/* The operation, then the disk. */
			one->text[0] = request->cmd_flags & 0xff;
			if (bpf_probe_read_kernel_str(one->text + 1, 32, request->q->disk->disk_name) > 0)
				one->size = 33;
			bpf_ringbuf_submit(one, 0);
		}
	}
	bpf_map_delete_elem(&issued, &key);
	return 0;
}
