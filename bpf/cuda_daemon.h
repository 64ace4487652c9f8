/* SPDX-License-Identifier: GPL-2.0-only */
/* cuda_daemon.h: the programs of cuda.bpf.c that the daemon runs. */
#ifndef AGENTCG_CUDA_DAEMON_H
#define AGENTCG_CUDA_DAEMON_H

#include "cuda_call.h"

/* Sets a quota, and lets a gated call through if it fits now. */
SEC("syscall")
int decide(struct gpu_verdict *verdict)
{
	__u64 lease = verdict->lease, thread = verdict->thread;
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &lease);
	struct call *call;

	if (!account)
		return -ENOENT;
	account->quota = verdict->quota;
	if (!thread)
		return 0;
	call = bpf_map_lookup_elem(&calls, &thread);
	if (!call || call->gate != verdict->gate || call->state != GATED)
		return -ESRCH;
	if (!charge(account, call->size))
		return -ENOSPC;
	call->state = PASSED;
	return 0;
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

#endif
