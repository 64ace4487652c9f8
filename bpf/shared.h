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

/* A grant: a call's, or that of a session's agent. Keyed by the id of its cgroup. */
struct policy {
	__u64 pool;      /* id of the cgroup that it shares with the others */
	__u64 session;   /* id of its session's cgroup */
	__u64 free;      /* up to here it is never delayed */
	__u64 kept;      /* up to here the pool keeps free for it what it does not use */
	__u64 burst;     /* what it may grow at once beyond that, when it has rested */
	__u64 refill;    /* pages a second by which that comes back */
	__u64 max_delay; /* the longest that one batch may be held up */
	__s32 priority;  /* -100 to 100 */
	__u32 slots;     /* how many threads of its session may be held at the same time */
};

/* What the calls share. Written by the daemon when a grant changes, keyed by the cgroup's id. */
struct pool {
	__u64 size;  /* nobody grows beyond this, except inside a guarantee */
	__u64 slack; /* while it is used to less than this, unused guarantees included, nobody waits */
	__u64 band;  /* the last pages below `size`: the lower the priority, the fewer of them */
};

/* What the program `grant` is run with. */
struct grant {
	__u64 cgroup;
	struct policy policy;
};

/* Whose grant holds in a cgroup. In the storage of the call's cgroup and of all below it. */
struct member {
	__u64 call;
	__u32 level; /* of the call's cgroup, from the root */
	__u32 pool;  /* the same of the pool's */
};

/* What a call did. Written by BPF, keyed as `policy`. */
struct tally {
	__u64 charges;   /* batches */
	__u64 trips;     /* batches that led to a delay */
	__u64 throttled; /* time in delays for memory, summed over threads */
	__u64 capped;    /* the same for cpu.max */
	__u64 longest;   /* the longest delay */
	__u64 credit;    /* what is left of `burst` */
	__u64 credit_at; /* when that was so */
	__u64 unused;    /* what is left of `kept`; it counts in the pool's `reserved` */
	__u64 told;      /* when the last event was sent */
	__u64 full;      /* since when the pool has no room for it; 0 while it has */
	__u32 held;      /* threads that are delayed for memory now */
	__u32 refused;   /* how often one was not, for want of a slot */
};

/* The daemon's word to the programs; key 0. */
struct control {
	__u64 heartbeat; /* when the daemon last said that it lives */
	__u64 dead_man;  /* silence after which everybody is let go */
};

/* How the scheduler ended, in the kernel's words. Written by BPF. */
struct farewell {
	__s64 code;
	__u32 kind; /* enum scx_exit_kind; 0 while it runs */
	__u32 zero;
	char reason[64];
	char message[128];
};

enum event_kind {
	EVENT_THROTTLED = 1, /* a call is delayed, for the first time in a second */
	EVENT_STUCK = 2,     /* a batch waited all of max_delay, and there is no room yet */
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

enum seen_what {
	SEEN_FORK = 1,
	SEEN_EXEC = 2,
	SEEN_EXIT = 3,
};

/* One record of the observer's ring buffer; of an exec it is the head of a `seen_exec`. */
struct seen {
	__u64 agent;  /* id of the watched cgroup that it is in or below */
	__u64 start;  /* of the process, of CLOCK_BOOTTIME: with the pid it names it for good */
	__u32 pid;    /* in the initial namespace, as are all; of a fork the child's */
	__u32 parent; /* of a fork who forked */
	__u32 what;
	__u32 args; /* bytes in `args`; as much as there is room for */
	__u32 env;  /* bytes in `env` */
	__u32 zero;
};

#define SEEN_ARGS 2048
#define SEEN_ENV 8192

/* What an exec was given: the beginning of its arguments, the end of its environment. */
struct seen_exec {
	struct seen seen;
	char args[SEEN_ARGS];
	char env[SEEN_ENV];
};

/* A cgroup that the observer watches, keyed by its id and entered by the daemon; 0 is all together. */
struct watched {
	__u64 second;  /* the one that `count` is about */
	__u64 dropped; /* records that were not sent: over the rate, or no room in the ring buffer */
	__u32 count;   /* records sent in it */
	__u32 zero;
};

enum traced_what {
	TRACED_EXEC = 1,
	TRACED_OPEN = 2,
	TRACED_CONNECT = 3,
	TRACED_OOM = 4,
	TRACED_BLOCKIO = 5,
};

#define TRACED_TEXT 256

/* One record of the tracer's ring buffer. */
struct traced {
	__u64 at;
	__u64 leaf;    /* id of the cgroup two below the session's that it is in, a call's as a rule; or 0 */
	__u64 took;    /* the time of a system call, or of a request; else 0 */
	__u64 bytes;   /* of a request; else 0 */
	__u32 pid;     /* in the initial namespace; 0 of a request */
	__u32 what;
	__s32 result;  /* of a system call; below 0 an errno; of a request: 0, or minus its blk_status_t */
	__u32 size;    /* bytes in `text` */
	char comm[16];
	char text[TRACED_TEXT]; /* arguments, a path, a socket's address, a disk's name */
};

/* What the tracer counts of one system call, by its number; the last entry is all others. */
struct syscall_count {
	__u64 calls;
	__u64 errors;
	__u64 took;
};

/* What the processes of a GPU lease have, keyed by the id of its leaf. The daemon writes `quota`. */
struct gpu_account {
	__u64 quota;
	__u64 used; /* bytes, those of calls under way included */
	__u64 peak;
	__u64 gated;  /* calls that did not fit */
	__u64 killed; /* processes that went on all the same, or that nobody could be told of */
	__u64 told;   /* the time that those which were told have used up */
	__u64 before; /* of `used`: what was there before, which no call is charged for */
	__u64 changes; /* of what calls are charged, and may be soon: counted before they are made */
	/* Of `used`: what the driver may not show, as a call is under way, or where memory may be elsewhere. */
	__s64 hidden; /* below 0, as `notes`, where the account is younger */
	__s64 notes; /* of allocations */
};

enum gpu_event_kind {
	GPU_GATED = 1,	/* it is stopped, and waits for a verdict */
	GPU_KILLED = 2, /* it went on without one */
	GPU_LOST = 3,	/* killed, as it could not be counted, or not be stopped */
};

struct gpu_event {
	__u64 at;
	__u64 lease;
	__u64 size; /* what it asks for */
	__u64 used; /* of the lease */
	__u64 quota;
	__u64 gate;
	__u64 thread; /* of the kernel's: what a verdict names it by */
	__u32 pid;    /* of the process, in the daemon's pid namespace; 0 if it has none there */
	__u32 kind;
	char comm[16];
};

/* What the program `decide` is run with; without a thread it only sets the quota. */
struct gpu_verdict {
	__u64 lease;
	__u64 quota;
	__u64 thread;
	__u64 gate;
};

/* What the program `correct` is run with. */
struct gpu_before {
	__u64 lease;
	__u64 before;
};

#endif
