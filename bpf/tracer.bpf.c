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
 * memory) and for disk requests (the cgroup whose account they are on: a write happens long after, in a
 * thread of the kernel). What is told goes into a ring buffer. System calls are not told but counted, as
 * there may be millions. A system call's arguments are noted in its task's storage when it begins, and
 * read when it ends: by then its answer is known, and the kernel has had the path in its hands, so
 * its page is there.
 *
 * Worked example. `agentcg probe open --session s-1`, cgroup 42, whose call c-1 has 44.
 * `cat /etc/hostname` runs there:
 *
 *   sys_enter openat  entered of the task = { where=0x7ffd..., at=100 }
 *   sys_exit          result=3 took=5us text="/etc/hostname" leaf=44
 *
 * Limits. It helps who looks for a fault; it is no guard against who hides.
 * - Not seen: what 32-bit system calls open or connect (they count as "others"), what io_uring or a file
 *   handle does, datagrams without a connect, and what seccomp refuses before it is a system call.
 * - Another thread may change a path between the kernel's look at it and ours; text is cut at TRACED_TEXT.
 * - What finds no room in the ring buffer is counted in `lost`, and not told.
 * - A kernel without the io controller for that cgroup accounts its requests to one above: not seen. A
 *   request that is done in parts is told with the last of them.
 * - A system call that is under way when this begins, or that never returns, is not seen.
 * - A cgroup deeper than LEVELS is not found.
 */
#include "tracer.h"

char _license[] SEC("license") = "GPL";

#define REQUESTS 16384
#define ADDRESS 128 /* bytes: as large as any socket's */
#define SMALL_ADDRESS 16
#define NUMBERS 512 /* of system calls that are counted each; all others are one */
#define MAX_ERRNO 4095
#define ERESTARTSYS 512 /* to ERESTART_RESTARTBLOCK: not an answer, it goes on */
#define ERESTART_RESTARTBLOCK 516
#define TS_COMPAT 2	    /* x86: a 32-bit system call is under way */
#define TIF_32BIT (1ul << 22) /* arm64: the same of the whole task */

/* Of system calls: TRACED_OPEN or TRACED_CONNECT; 0 counts them all. */
volatile const __u32 wanted = 0;
/* Their numbers here; -1 where there is no such call. */
volatile const __s32 open_number = -1, creat_number = -1, openat_number = -1, openat2_number = -1;
volatile const __s32 connect_number = -1, rt_sigreturn_number = -1;

struct entered {
	__u64 at;    /* 0 while none is under way */
	__u64 where; /* a path or an address, in the caller's memory */
	__u64 leaf;
	__u32 size;
	__u32 number;
};

/* The system call that a task is in; it goes with the task. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct entered);
} entered SEC(".maps");

/* Requests under way: when they were issued, by the address of the kernel's record. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, REQUESTS);
	__type(key, __u64);
	__type(value, __u64);
} issued SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NUMBERS + 1);
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

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_done, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	struct traced *one;
	__u64 size, leaf;

	if (!current_inside(&leaf))
		return 0;
	one = reserve(TRACED_EXEC, leaf);
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

/* A 32-bit system call, whose numbers and registers are others. */
static __always_inline bool compat(struct task_struct *task)
{
	if (bpf_core_field_exists(task->thread_info.status))
		return task->thread_info.status & TS_COMPAT;
	return task->thread_info.flags & TIF_32BIT;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(call_enter, struct pt_regs *registers, long number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool foreign = compat(task);
	__u64 where = 0, leaf;
	struct entered *now;
	__u32 size = 0;

	if (wanted && foreign)
		return 0;
	if (wanted == TRACED_CONNECT) {
		if (number != connect_number)
			return 0;
		where = argument(registers, 1);
		size = argument(registers, 2);
	} else if (wanted == TRACED_OPEN) {
		if (number == openat_number || number == openat2_number)
			where = argument(registers, 1);
		else if (number == open_number || number == creat_number)
			where = argument(registers, 0);
		else
			return 0;
	}
	if (!current_inside(&leaf))
		return 0;
	now = bpf_task_storage_get(&entered, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!now)
		return 0;
	now->where = where;
	now->leaf = leaf;
	now->size = size;
	now->number = foreign || number < 0 || number >= NUMBERS ? NUMBERS : number;
	now->at = bpf_ktime_get_ns();
	return 0;
}

static __always_inline void count(struct entered *was, long result)
{
	__u32 number = was->number;
	struct syscall_count *one = bpf_map_lookup_elem(&syscall_counts, &number);
	bool goes_on = result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;

	if (!one)
		return;
	__sync_fetch_and_add(&one->calls, 1);
	__sync_fetch_and_add(&one->took, bpf_ktime_get_ns() - was->at);
	/* What a return from a signal's handler seems to answer is a register of the one interrupted. */
	if (result < 0 && result >= -MAX_ERRNO && !goes_on && (__s32)number != rt_sigreturn_number)
		__sync_fetch_and_add(&one->errors, 1);
}

static __always_inline void tell(struct entered *was, long result)
{
	struct traced *one = reserve(wanted, was->leaf);
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
		/* It may say more than there is. */
		if (!bpf_probe_read_user(one->text, size, (void *)was->where))
			one->size = size;
		else if (!bpf_probe_read_user(one->text, SMALL_ADDRESS, (void *)was->where))
			one->size = SMALL_ADDRESS;
	}
	bpf_ringbuf_submit(one, 0);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(call_exit, struct pt_regs *registers, long result)
{
	struct entered *was = bpf_task_storage_get(&entered, bpf_get_current_task_btf(), 0, 0);

	if (!was || !was->at)
		return 0;
	if (wanted)
		tell(was, result);
	else
		count(was, result);
	was->at = 0;
	return 0;
}

SEC("tp_btf/mark_victim")
int BPF_PROG(oom_victim, struct task_struct *task)
{
	struct traced *one;
	__u64 leaf;

	if (!css_inside(&task->cgroups->dfl_cgrp->self, &leaf))
		return 0;
	one = reserve(TRACED_OOM, leaf);
	if (!one)
		return 0;
	one->pid = task->tgid;
	bpf_probe_read_kernel(one->comm, sizeof(one->comm), task->comm);
	bpf_ringbuf_submit(one, 0);
	return 0;
}

/* Whose account a request is on; flushes and the like are on nobody's. */
static __always_inline bool request_inside(struct request *request, __u64 *leaf)
{
	struct bio *bio = request->bio;

	if (!bpf_core_field_exists(bio->bi_blkg) || !bio || !bio->bi_blkg)
		return false;
	return css_inside(&bio->bi_blkg->blkcg->css, leaf);
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(request_issue, struct request *request)
{
	__u64 leaf, key = (__u64)request, now = bpf_ktime_get_ns();

	if (request_inside(request, &leaf))
		bpf_map_update_elem(&issued, &key, &now, BPF_ANY);
	else
		bpf_map_delete_elem(&issued, &key); /* an earlier one at the same address, whose end was missed */
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(request_complete, struct request *request, __u8 status, unsigned int bytes)
{
	__u64 leaf, key = (__u64)request, *since = bpf_map_lookup_elem(&issued, &key);
	struct traced *one;

	if (!since)
		return 0;
	one = request_inside(request, &leaf) ? reserve(TRACED_BLOCKIO, leaf) : NULL;
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
	bpf_map_delete_elem(&issued, &key);
	return 0;
}
