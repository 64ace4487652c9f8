/* SPDX-License-Identifier: GPL-2.0-only */
/* cuda_call.h: a call of libcuda's that a thread is in: how cuda.bpf.c begins one, and what it ends with. */
#ifndef AGENTCG_CUDA_CALL_H
#define AGENTCG_CUDA_CALL_H

#include "cuda.h"

#define SIGKILL 9
#define SIGSTOP 19
#define ENOENT 2
#define ESRCH 3
#define EAGAIN 11
#define ENOSPC 28
#define ON_DEVICE 1	   /* CU_MEM_LOCATION_TYPE_DEVICE */
#define LOCATION 8	   /* of it in CUmemAllocationProp */
#define PITCH 512	   /* what a row is rounded up to, as far as known before */
#define PID_LEVELS 32
#define TELL_EVERY 100000000 /* nanoseconds for each kill that is told, after the first */
#define TELL_FIRST 10

enum what { TAKE = 1, TAKE_PITCH, TAKE_ARRAY, GIVE, MAP, UNMAP, RETAIN };
enum state { CHARGED = 1, GATED, PASSED };

/* A call that a thread is in. */
struct call {
	__u64 lease;
	__u64 size;
	__u64 hidden; /* of the account, while it is under way */
	__u64 where;  /* where the answer is written, in the caller's memory */
	__u64 number; /* of what is given back or mapped */
	__u64 about;  /* where the pitch is written, or the array described */
	__u64 rows;   /* of a pitch; an array's dimensions */
	__u64 gate;   /* which gate it waits at */
	__u32 what;   /* 0 while it is in none */
	__u32 space;
	__u32 state;
	__u32 listed; /* whether `note` is of it */
	__u32 managed; /* the driver moves it to the host and back */
	struct held note;
};

/* It goes with the thread, whatever number an exec gives that; nobody can use up another's. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} gpu_events SEC(".maps");

/* Inode of the daemon's pid namespace: processes are told by their number there. */
volatile const __u32 pid_namespace = 0;

__u64 gates;
__u64 births;

/* So that the type information, which Python's copies are checked by, has the whole structs. */
const struct gpu_event *type_of_gpu_event __attribute__((unused));
const struct gpu_verdict *type_of_gpu_verdict __attribute__((unused));
const struct gpu_before *type_of_gpu_before __attribute__((unused));

struct pt_regs;
struct pt_regs___x86 {
	unsigned long di, si, dx, cx, ax;
} KTYPE;
struct pt_regs___arm64 {
	__u64 regs[4];
} KTYPE;

#define REGISTER(name, x86_name, arm64_number)                                          \
	static __always_inline __u64 name(struct pt_regs *context)                      \
	{                                                                               \
		struct pt_regs___x86 *x86 = (void *)context;                            \
		struct pt_regs___arm64 *arm64 = (void *)context;                        \
                                                                                        \
		if (bpf_core_field_exists(x86->di))                                     \
			return BPF_CORE_READ(x86, x86_name);                            \
		return BPF_CORE_READ(arm64, regs[arm64_number]);                        \
	}
REGISTER(first, di, 0)
REGISTER(second, si, 1)
REGISTER(third, dx, 2)
REGISTER(fourth, cx, 3)
REGISTER(answer, ax, 0)

/* The number of the current process in the daemon's pid namespace; 0 if it has none there. */
static __always_inline __u32 pid_there(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	__u32 levels = BPF_CORE_READ(pid, level);
	char *at = __builtin_preserve_access_index((char *)&pid->numbers);

	for (__u32 level = 0; level < PID_LEVELS && level <= levels; level++) {
		struct upid *one = (void *)(at + level * bpf_core_type_size(struct upid));

		if (BPF_CORE_READ(one, ns, ns.inum) == pid_namespace)
			return BPF_CORE_READ(one, nr);
	}
	return 0;
}

static __always_inline bool tell(__u32 kind, const struct call *call, struct gpu_account *account)
{
	struct gpu_event *event = bpf_ringbuf_reserve(&gpu_events, sizeof(*event), 0);

	if (!event)
		return false;
	event->at = bpf_ktime_get_ns();
	event->lease = call->lease;
	event->size = call->size;
	event->used = account->used;
	event->quota = account->quota;
	event->gate = call->gate;
	event->thread = bpf_get_current_pid_tgid();
	event->pid = pid_there();
	event->kind = kind;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
	return true;
}

/* Not of each is told: a program may have children killed as fast as it can make them. */
static __always_inline void kill_caller(__u32 kind, struct call *call, struct gpu_account *account)
{
	__u64 now = bpf_ktime_get_ns(), told = account->told, next = now - TELL_FIRST * TELL_EVERY;

	next = (told > next ? told : next) + TELL_EVERY;
	__sync_fetch_and_add(&account->killed, 1);
	bpf_send_signal(SIGKILL);
	if (next <= now && __sync_val_compare_and_swap(&account->told, told, next) == told)
		tell(kind, call, account);
}

/* What the driver takes for so much: pages above 1 MiB, parts of one below. */
static __always_inline __u64 rounded(__u64 size, __u32 space)
{
	__u64 step = space == ARRAY ? 64 << 10 : size > 1 << 20 ? 2 << 20 : 512;

	return size > -step ? size : (size + step - 1) / step * step;
}

static __always_inline __u64 charged(const struct call *call)
{
	return call->state == CHARGED || call->state == PASSED ? call->size : 0;
}

/* The call that this thread is in. */
static __always_inline struct call *current_call(void)
{
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);

	return call && call->what ? call : NULL;
}

/*
 * This thread is in it from here on. False where the thread had none yet and the kernel can make no room for it: it
 * has no memory just now or, being preemptible, has put off another on this CPU that was changing such storage.
 */
static __always_inline bool enter(const struct call *call)
{
	struct call *kept = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0,
						 BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!kept)
		return false;
	*kept = *call;
	return true;
}

/* Of a call that is kept no more. */
static __always_inline void left(const struct call *call)
{
	show(call->lease, call->hidden);
}

/* What this thread was in and never came back from stays charged; from a gate nobody jumps away. */
static __always_inline void forget(void)
{
	struct call *old = current_call();
	struct gpu_account *account;

	if (!old)
		return;
	account = bpf_map_lookup_elem(&accounts, &old->lease);
	if (account && old->state == GATED)
		kill_caller(GPU_KILLED, old, account);
	else
		unlist(bpf_get_current_pid_tgid() >> 32, old->listed ? old->note.size : charged(old));
	if (old->listed)
		show(old->note.lease, old->note.hidden);
	left(old);
	old->what = 0;
}

/* Bytes of one channel, by enum CUarray_format; the longest where it is none of the plain ones. */
static __always_inline __u64 channel(__u32 format)
{
	return format == 1 || format == 8 ? 1 : format == 2 || format == 9 || format == 16 ? 2 : 4;
}

/* Bytes of an array; 0 where its description is not in memory now. */
static __always_inline __u64 array(const struct call *call)
{
	__u64 extent[3] = {}, after = call->rows == 2 ? 16 : 24;
	__u32 kind[2] = {}; /* format, channels */

	if (bpf_probe_read_user(extent, 16, (void *)call->about) ||
	    (call->rows == 3 && bpf_probe_read_user(&extent[2], 8, (void *)call->about + 16)) ||
	    bpf_probe_read_user(kind, sizeof(kind), (void *)call->about + after))
		return 0;
	return extent[0] * channel(kind[0]) * kind[1] * (extent[1] ? extent[1] : 1) *
	       (extent[2] ? extent[2] : 1);
}

static __always_inline int take(struct call *call)
{
	struct gpu_account *account = account_above(&call->lease);
	__u32 id = bpf_get_current_pid_tgid() >> 32;

	if (!account)
		return 0;
	forget();
	if (call->what == TAKE_ARRAY)
		call->size = array(call);
	call->size = rounded(call->size, call->space);
	if (!known(id, call->lease)) {
		kill_caller(GPU_LOST, call, account);
		return 0;
	}
	call->hidden = call->size;
	hide(account, call->hidden);
	call->state = charge(account, call->size) ? CHARGED : GATED;
	if (call->state == GATED) {
		left(call);
		call->hidden = 0;
		call->gate = __sync_fetch_and_add(&gates, 1) + 1;
	}
	if (!enter(call)) {
		/* Nobody would see its return, nor let it through a gate. */
		if (call->state == CHARGED)
			unlist(id, call->size);
		else
			kill_caller(GPU_LOST, call, account);
		left(call);
		return 0;
	}
	if (call->state == GATED) {
		__sync_fetch_and_add(&account->gated, 1);
		/* To this thread: while the process has a SIGSTOP pending for another, one more wakes nobody. */
		bpf_send_signal_thread(SIGSTOP);
		if (!tell(GPU_GATED, call, account))
			kill_caller(GPU_LOST, call, account);
	}
	return 0;
}

#endif
