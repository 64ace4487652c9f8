/* SPDX-License-Identifier: GPL-2.0-only */
/* cuda.h: the account of a lease in cuda.bpf.c: charge, uncharge, and what a process has. */
#ifndef AGENTCG_CUDA_H
#define AGENTCG_CUDA_H

#include "kernel.h"
#include "shared.h"

#define LEVELS 24 /* of cgroups that are walked, downwards */
/* Each lease has room of its own for notes; what it may have beyond, by its size, is of the room of all. */
#define LEASES 128
#define PER_LEASE 896 /* and one for each 2 MiB */
#define PROCESSES 128 /* more, which only processes take */
#define SHARED 130048 /* as many as 254 GiB on lease may have */
#define ALLOCATIONS 262144 /* LEASES * (PER_LEASE + PROCESSES) + SHARED, and some for who ask at once */
#define TRIES 32 /* to change a number that others change too */

/* Which numbers name an allocation: an address and a handle may be equal. */
enum space { ADDRESS = 1, HANDLE = 2, ARRAY = 3, MAPPING = 4, PROCESS = 5 };

/* What names an allocation: its number in its process. A PROCESS, 0, has what only its end gives back. */
struct allocation {
	__u64 number;
	__u32 process;
	__u32 space;
};

struct held {
	__u64 lease;
	__u64 size;
	__u64 handle;	/* of a MAPPING: what is mapped there */
	__u64 hidden;	/* of `size`, while it is there */
	__u64 born;	/* of a HANDLE, and of its MAPPING: numbers are given out anew */
	__u32 mappings; /* of a HANDLE, those under way included */
	__u32 references;
	__u32 shared; /* whether its place is of the room of all */
	__u32 zero;
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

__u64 shared; /* notes beyond their lease's own room */

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
	__sync_fetch_and_add(&account->changes, 1);
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

/* Of what is charged so much is hidden from the driver's word. */
static __always_inline void hide(struct gpu_account *account, __u64 size)
{
	__sync_fetch_and_add(&account->changes, 1);
	__sync_fetch_and_add(&account->hidden, size);
}

static __always_inline void show(__u64 lease, __u64 size)
{
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &lease);

	if (account)
		__sync_fetch_and_add(&account->hidden, -size);
}

static __always_inline void uncharge(__u64 lease, __u64 size)
{
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &lease);

	if (!account || !size)
		return;
	__sync_fetch_and_add(&account->changes, 1);
	for (int n = 0; n < TRIES; n++) {
		__u64 used = *(volatile __u64 *)&account->used;
		/* The account may be younger than what is given back. */
		__u64 left = used > size ? used - size : 0;

		if (__sync_val_compare_and_swap(&account->used, used, left) == used)
			return;
	}
}

static __always_inline void uncharge_held(const struct held *held)
{
	uncharge(held->lease, held->size);
	show(held->lease, held->hidden);
}

/* Charged, and under no number: it comes back when the process ends. */
static __always_inline void unlist(__u32 id, __u64 size)
{
	struct allocation which = { .process = id, .space = PROCESS };
	struct held *process = bpf_map_lookup_elem(&allocations, &which);
	struct gpu_account *account;
	__u64 lease;

	if (!process)
		return;
	lease = process->lease;
	account = bpf_map_lookup_elem(&accounts, &lease);
	if (account)
		hide(account, size); /* its memory may have gone */
	__sync_fetch_and_add(&process->size, size);
	__sync_fetch_and_add(&process->hidden, size);
	if (bpf_map_lookup_elem(&allocations, &which) == process)
		return;
	/* Its place may be another's by now; then the process has ended, and this comes back with it. */
	__sync_fetch_and_add(&process->size, -size);
	__sync_fetch_and_add(&process->hidden, -size);
	uncharge(lease, size);
	show(lease, size);
}

/* Of one lease not too many, as the room is for all; of one that has ended none. */
static __always_inline bool note(struct allocation *which, struct held *held)
{
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &held->lease);
	__s64 own = PER_LEASE + (which->space == PROCESS ? PROCESSES : 0);

	if (!account)
		return false;
	held->shared = account->notes >= own;
	if (held->shared && (account->notes >= own + (__s64)(account->quota >> 21) || shared >= SHARED))
		return false;
	if (bpf_map_update_elem(&allocations, which, held, BPF_NOEXIST))
		return false;
	__sync_fetch_and_add(&account->notes, 1);
	if (held->shared)
		__sync_fetch_and_add(&shared, 1);
	return true;
}

/* Whether its end will be heard, and give back all that it has, as long as the lease lasts. */
static __always_inline bool known(__u32 id, __u64 lease)
{
	struct allocation which = { .process = id, .space = PROCESS };
	struct held held = { .lease = lease };

	return bpf_map_lookup_elem(&allocations, &which) || note(&which, &held) ||
	       bpf_map_lookup_elem(&allocations, &which) || /* by another thread, meanwhile */
	       !bpf_map_lookup_elem(&accounts, &lease);
}

/* With a note, or else until its process ends. */
static __always_inline void keep(struct allocation *which, struct held *held)
{
	if (note(which, held))
		return;
	unlist(which->process, held->size);
	show(held->lease, held->hidden);
}

/* False where another took it away. */
static __always_inline bool unnote(struct allocation *which, const struct held *old)
{
	__u64 lease = old->lease;
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &lease);

	if (bpf_map_delete_elem(&allocations, which))
		return false;
	if (account)
		__sync_fetch_and_add(&account->notes, -1);
	if (old->shared)
		__sync_fetch_and_add(&shared, -1);
	return true;
}

/* A number that is given out anew names nothing else by now: a context's end frees without a call. */
static __always_inline void replaced(struct allocation *which)
{
	struct held *there = bpf_map_lookup_elem(&allocations, which), old;

	if (!there)
		return;
	old = *there;
	if (!unnote(which, &old))
		return;
	if (old.mappings)
		unlist(which->process, old.size);
	else
		uncharge_held(&old);
}

/* The HANDLE of a call, unless its number names another by now. */
static __always_inline struct held *handle_of(struct allocation *owner, __u64 born)
{
	struct held *held = bpf_map_lookup_elem(&allocations, owner);

	return held && held->born == born ? held : NULL;
}

/* `count` is the note's, whose place may be another's by now: then that is put right. */
static __always_inline void add(struct allocation *which, struct held *held, __u32 *count, __s32 by)
{
	__sync_fetch_and_add(count, by);
	if (bpf_map_lookup_elem(&allocations, which) != held)
		__sync_fetch_and_add(count, -by);
}

/* With the last of mappings and references a handle's memory goes. */
static __always_inline void gone(struct held *held, struct allocation *owner)
{
	struct held old = *held;

	/* Of several who see the last go, one takes the note away. */
	if (!old.mappings && !old.references && unnote(owner, &old))
		uncharge(old.lease, old.size);
}

static __always_inline void unpinned(__u64 handle, __u64 born, __u32 process)
{
	struct allocation owner = { handle, process, HANDLE };
	struct held *held = handle_of(&owner, born);

	if (!held)
		return;
	add(&owner, held, &held->mappings, -1);
	gone(held, &owner);
}

static __always_inline void unmapped(struct allocation *which)
{
	struct held *there = bpf_map_lookup_elem(&allocations, which);
	struct held old;

	if (!there)
		return;
	old = *there;
	if (unnote(which, &old))
		unpinned(old.handle, old.born, which->process);
}

static long drop_one(void *map, struct allocation *which, struct held *held, __u32 *process)
{
	struct allocation key = *which;
	struct held old = *held;

	if (key.process == *process && unnote(&key, &old) && key.space != MAPPING)
		uncharge_held(&old);
	return 0;
}

/* Threads that end together may each be the last: the one that takes the process's note away sees to the rest. */
static __always_inline void drop_process(__u32 id)
{
	struct allocation which = { .process = id, .space = PROCESS };
	struct held *held = bpf_map_lookup_elem(&allocations, &which), old;

	if (!held)
		return;
	old = *held;
	if (!unnote(&which, &old))
		return;
	uncharge_held(&old);
	bpf_for_each_map_elem(&allocations, drop_one, &id, 0);
}

#endif
