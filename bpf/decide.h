/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * decide.h: how long a growing call has to wait. Pure arithmetic, so that a test on the host can
 * compile it with any C compiler and try every corner.
 *
 * A call may take what is left of the pool, but
 *  - not what other calls are guaranteed and do not use yet (`reserved`), and
 *  - of the last `band` pages the fewer the lower its priority: -100 none of them, 100 all.
 * As long as the pool has slack, or the call is inside its guarantee or its burst, it does not wait.
 * Else it waits the longer the less room it has, the more it holds beyond its guarantee and the
 * lower its priority; without any room, as long as it takes, at most max_delay a batch.
 *
 * Example. A pool of 1000 MiB, slack 800, band 100, high (priority 100, 300 MiB guaranteed, uses
 * 200) and low (priority 0). Up to a usage of 700, with high's unused 100 that is 800, nobody waits.
 * Low at 560: of 1000 - 760 MiB, 100 are high's and 50 the part of the band that is not for low's
 * priority: low has room for 90. At 850 it has none, and waits until someone gives memory back.
 */
#ifndef AGENTCG_DECIDE_H
#define AGENTCG_DECIDE_H

#include "shared.h"

#define SECOND 1000000000ull
#define SHORTEST 1000000ull /* 1 ms: less than this is not worth a switch */

/* The pages that a call of this priority may still take. */
static inline __u64 room_of(const struct pool *pool, __u64 usage, __u64 reserved, __s32 priority)
{
	__u64 kept = pool->band * (__u64)(100 - priority) / 200 + reserved + usage;

	return pool->size > kept ? pool->size - kept : 0;
}

/* The time between two readings that different CPUs took: the later may have come first. */
static inline __u64 since(__u64 now, __u64 then)
{
	return (__s64)(now - then) > 0 ? now - then : 0;
}

/* The credit that a call has after resting since `tally->credit_at`. */
static inline __u64 credit_of(const struct policy *policy, __u64 credit, __u64 rested)
{
	__u64 whole = rested / SECOND, part = rested % SECOND;

	/* In two steps, as a product with the whole time could overflow. */
	if (whole > 3600)
		return policy->burst;
	credit += whole * policy->refill + part * policy->refill / SECOND;
	return credit < policy->burst ? credit : policy->burst;
}

/* How long a batch waits that has `room` and takes its call to `over` pages above its guarantee. */
static inline __u64 delay_of(const struct policy *policy, const struct pool *pool, __u64 room,
			     __u64 over)
{
	__u64 width = pool->size > pool->slack ? pool->size - pool->slack : 1;
	__u64 tight, share, delay;

	if (!room)
		return policy->max_delay;
	/* Both in 1/1024; the square leaves the first half of the way almost free. */
	tight = room < width ? (width - room) * 1024 / width : 0;
	share = over < pool->size ? over * 1024 / (pool->size | 1) : 1024;
	delay = policy->max_delay / 1024 * tight / 1024 * tight / 1024 * share;
	delay = delay / 200 * (__u64)(100 - policy->priority);
	if (delay < SHORTEST)
		return 0;
	return delay < policy->max_delay ? delay : policy->max_delay;
}

#endif
