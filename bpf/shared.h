/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shared.h: what the daemon and the BPF programs tell each other through maps.
 *
 * agentcg/kernel/bpf_records.py has the same records for Python; a test compares the two by BTF.
 * Memory is in pages of 4 KiB, time in nanoseconds of CLOCK_MONOTONIC, a cgroup is named by its id
 * (the inode number of its directory).
 */
#ifndef AGENTCG_SHARED_H
#define AGENTCG_SHARED_H

#include <linux/types.h>

/* The kernel charges a growing process in batches of this many pages. */
#define BATCH 64

/* One call's grant. Written by the daemon, keyed by the id of the call's cgroup. */
struct policy {
	__u64 pool;      /* id of the cgroup that it shares with the others */
	__u64 guarantee; /* up to here it is never delayed */
	__u64 burst;     /* what it may grow at once beyond that, when it has rested */
	__u64 refill;    /* pages a second by which that comes back */
	__u64 max_delay; /* the longest that one batch may be held up */
	__s32 priority;  /* -100 to 100 */
	__u32 slots;     /* how many of its threads may be held at the same time */
};

/* What the calls share. Written by the daemon when a grant changes, keyed by the cgroup's id. */
struct pool {
	__u64 size;  /* nobody grows beyond this, except inside a guarantee */
	__u64 slack; /* while it is used to less than this, unused guarantees included, nobody waits */
	__u64 band;  /* the last pages below `size`: the lower the priority, the fewer of them */
};

/* Which call a cgroup belongs to. In the storage of the call's cgroup and of all below it. */
struct member {
	__u64 call;
	__u32 up; /* how many levels above this cgroup the pool is */
	__u32 zero;
};

/* What a call did. Written by BPF, keyed as `policy`. */
struct tally {
	__u64 charges;   /* batches */
	__u64 trips;     /* batches that led to a delay */
	__u64 throttled; /* time in delays, summed over threads */
	__u64 longest;   /* the longest delay */
	__u64 credit;    /* what is left of `burst` */
	__u64 credit_at; /* when that was so */
	__u64 unused;    /* what is left of `guarantee`; it counts in the pool's `reserved` */
	__u64 told;      /* when the last event was sent */
	__u32 held;      /* threads that are delayed now */
	__u32 refused;   /* threads that were not delayed for want of a slot */
};

/* The daemon's word to the programs; key 0. */
struct control {
	__u64 heartbeat; /* when the daemon last said that it lives */
	__u64 dead_man;  /* silence after which everybody is let go */
};

enum event_kind {
	EVENT_THROTTLED = 1, /* a call is delayed, for the first time in a second */
};

/* One record of the ring buffer. */
struct event {
	__u64 at;
	__u64 call;
	__u64 usage; /* of the call */
	__u64 room;  /* of the pool, for this call; 0 if it has none */
	__u64 delay;
	__u32 kind;
	__u32 pid;
};

#endif
