/* SPDX-License-Identifier: GPL-2.0-only */
/* cuda_daemon.h: the programs of cuda.bpf.c that the daemon runs. */
#ifndef AGENTCG_CUDA_DAEMON_H
#define AGENTCG_CUDA_DAEMON_H

#include "cuda_call.h"

/* The thread may have gone on meanwhile, and its number may be another's: a gate has one of its own. */
static __always_inline int let(struct task_struct *task, const struct gpu_verdict *verdict,
			       struct gpu_account *account)
{
	struct call *call = bpf_task_storage_get(&calls, task, 0, 0);

	if (!call || !call->what || call->gate != verdict->gate || call->state != GATED)
		return -ESRCH;
	hide(account, call->size);
	if (!charge(account, call->size)) {
		show(verdict->lease, call->size);
		return -ENOSPC;
	}
	call->hidden = call->size;
	call->state = PASSED;
	return 0;
}

/* Sets a quota, and lets a gated call through if it fits now. */
SEC("syscall")
int decide(struct gpu_verdict *verdict)
{
	__u64 lease = verdict->lease;
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &lease);
	struct task_struct *task;
	int result;

	if (!account)
		return -ENOENT;
	account->quota = verdict->quota;
	if (!verdict->thread)
		return 0;
	task = bpf_task_from_pid(verdict->thread);
	if (!task)
		return -ESRCH;
	result = let(task, verdict, account);
	bpf_task_release(task);
	return result;
}

/* What was there before is another; what calls are charged meanwhile stays. */
SEC("syscall")
int correct(struct gpu_before *given)
{
	__u64 lease = given->lease;
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &lease);

	if (!account)
		return -ENOENT;
	for (int n = 0; n < TRIES; n++) {
		__u64 used = *(volatile __u64 *)&account->used;
		__u64 seen = used > account->before ? used - account->before : 0;

		if (__sync_val_compare_and_swap(&account->used, used, seen + given->before) != used)
			continue;
		account->before = given->before;
		return 0;
	}
	return -EAGAIN;
}

static long sweep_one(void *map, struct allocation *which, struct held *held, __u64 *lease)
{
	struct allocation key = *which;
	struct held old = *held;

	if (old.lease == *lease)
		unnote(&key, &old);
	return 0;
}

/* Of a lease whose account has gone: its notes would be in the way of others', for as long as its processes live. */
SEC("syscall")
int sweep(__u64 *given)
{
	__u64 lease = *given;

	bpf_for_each_map_elem(&allocations, sweep_one, &lease, 0);
	return 0;
}

static __always_inline bool lives(__u32 process)
{
	struct task_struct *task = bpf_task_from_pid(process);
	bool found;

	if (!task)
		return false;
	/* The number may be a thread's of another process by now. */
	found = task->tgid == (int)process && task->signal->live.counter > 0;
	bpf_task_release(task);
	return found;
}

static long see_to(void *map, struct allocation *which, struct held *held, bool *rest)
{
	struct allocation key = *which;
	struct held old = *held;

	if ((key.space != PROCESS) == *rest && !lives(key.process) && unnote(&key, &old) &&
	    key.space != MAPPING)
		uncharge_held(&old);
	return 0;
}

/*
 * The processes whose end was not heard, as another that ended was preempted in `ended` on that CPU (seen on 7.2). All
 * of them in two walks, as how many there are is theirs to choose. First their own notes: a process that ends meanwhile
 * either has its own then, and `ended` sees to it, or is dead when the rest is gone through.
 */
SEC("syscall")
int unheard(__u64 *unused)
{
	bool rest = false;

	bpf_for_each_map_elem(&allocations, see_to, &rest, 0);
	rest = true;
	bpf_for_each_map_elem(&allocations, see_to, &rest, 0);
	return 0;
}

#endif
