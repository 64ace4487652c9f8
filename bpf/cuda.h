/* SPDX-License-Identifier: GPL-2.0-only */
/* cuda.h: the account of a lease in cuda.bpf.c: charge, uncharge, and what a process has. */
#ifndef AGENTCG_CUDA_H
#define AGENTCG_CUDA_H

#include "kernel.h"
#include "shared.h"

#define LEVELS 24 /* of cgroups that are walked, downwards */
#define LEASES 1024
#define PROCESSES 16384
#define THREADS 16384
#define ALLOCATIONS 131072
#define TRIES 32 /* to change a number that others change too */

/* Which numbers name an allocation: an address and a handle may be equal. */
enum space { ADDRESS = 1, HANDLE = 2, ARRAY = 3, MAPPING = 4 };

/* What names an allocation: its number in its process. */
struct allocation {
	__u64 number;
	__u32 process;
	__u32 space;
};

struct held {
	__u64 lease;
	__u64 size;
	__u64 handle;	/* of a MAPPING: what is mapped there */
	__u32 mappings; /* of a HANDLE */
	__u32 released; /* a HANDLE that goes with its last mapping */
};

struct process {
	__u64 lease;
	__u64 unlisted; /* bytes that only its end gives back */
};

/* By the id of the leaf's cgroup. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LEASES);
	__type(key, __u64);
	__type(value, struct gpu_account);
} accounts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ALLOCATIONS);
	__type(key, struct allocation);
	__type(value, struct held);
} allocations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESSES);
	__type(key, __u32);
	__type(value, struct process);
} processes SEC(".maps");

/* The account of the current task's cgroup, or of one above it; `id` becomes its id. */
static __always_inline struct gpu_account *account_above(__u64 *id)
{
	struct gpu_account *found = NULL;

	for (int level = 1; level < LEVELS && !found; level++) {
		*id = bpf_get_current_ancestor_cgroup_id(level);
		if (!*id)
			break;
		found = bpf_map_lookup_elem(&accounts, id);
	}
	return found;
}

/* All of it, or nothing. Nothing also where too many others change it: a gate asks again. */
static __always_inline bool charge(struct gpu_account *account, __u64 size)
{
	for (int n = 0; n < TRIES; n++) {
		__u64 used = *(volatile __u64 *)&account->used;
		__u64 quota = *(volatile __u64 *)&account->quota;

		if (size > quota || used > quota - size)
			return false;
		if (__sync_val_compare_and_swap(&account->used, used, used + size) != used)
			continue;
		if (used + size > account->peak)
			account->peak = used + size;
		return true;
	}
	return false;
}

static __always_inline void uncharge(__u64 lease, __u64 size)
{
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &lease);

	if (!account || !size)
		return;
	for (int n = 0; n < TRIES; n++) {
		__u64 used = *(volatile __u64 *)&account->used;
		/* The account may be younger than what is given back. */
		__u64 left = used > size ? used - size : 0;

		if (__sync_val_compare_and_swap(&account->used, used, left) == used)
			return;
	}
}

/* Charged, and under no number: it comes back when the process ends. */
static __always_inline void unlist(__u32 id, __u64 size)
{
	struct process *process = bpf_map_lookup_elem(&processes, &id);

	if (process)
		__sync_fetch_and_add(&process->unlisted, size);
}

static long drop_one(void *map, struct allocation *which, struct held *held, __u32 *process)
{
	if (which->process == *process) {
		if (which->space != MAPPING)
			uncharge(held->lease, held->size);
		bpf_map_delete_elem(&allocations, which);
	}
	return 0;
}

static __always_inline void drop_process(__u32 id)
{
	struct process *process = bpf_map_lookup_elem(&processes, &id);

	if (!process)
		return;
	uncharge(process->lease, process->unlisted);
	bpf_map_delete_elem(&processes, &id);
	bpf_for_each_map_elem(&allocations, drop_one, &id, 0);
}

#endif
