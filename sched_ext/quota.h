/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * quota.h: cpu.max and cpu.max.burst of one cgroup (Documentation/admin-guide/cgroup-v2.rst).
 *
 * In every period there are `amount` ns of CPU time for a cgroup and all below it. What its tasks
 * use is taken from `left`, by all CPUs; at the end of a period it is filled up again, by whoever
 * looks first. Time is charged where it was used and threads are stopped later, at their return to
 * user mode, so `left` may fall below zero: that is a debt to the next periods, and the average is
 * exact.
 *
 * Worked example: 50 ms in 100. Four threads on two CPUs use 50 ms within 25 and stop at the next
 * tick, up to 8 ms too late; of the next period they have 42 ms.
 */
#ifndef AGENTCG_QUOTA_H
#define AGENTCG_QUOTA_H

#include "kernel.h"

#define US 1000ull
#define MANY 1000000 /* periods: all debts are paid */
#define UNLIMITED (~0ull) /* what the kernel says for "max", in microseconds */

struct quota {
	__u64 amount; /* 0: as much as it wants */
	__u64 period;
	__u64 burst;  /* what unused time of earlier periods may add to it */
	__u64 begun;  /* the current period */
	__s64 left;
};

static __always_inline void set_quota(struct quota *quota, __u64 period_us, __u64 quota_us,
				      __u64 burst_us, __u64 now)
{
	quota->amount = 0;
	if (quota_us == UNLIMITED || !period_us)
		return;
	quota->period = period_us * US;
	quota->burst = burst_us * US;
	quota->begun = now;
	quota->left = quota_us * US;
	quota->amount = quota_us * US;
}

/* Whether a cgroup with a quota has used it up. */
static __always_inline bool exhausted(struct quota *quota, __u64 now)
{
	__u64 begun = quota->begun, period = quota->period ?: 1, periods;
	__s64 most = quota->amount + quota->burst, left, more;

	if ((__s64)(now - begun) >= (__s64)period) {
		periods = (now - begun) / period;
		/* One of those who see it fills up. */
		if (__sync_val_compare_and_swap(&quota->begun, begun, begun + periods * period) == begun) {
			left = quota->left;
			more = (periods < MANY ? periods : MANY) * quota->amount;
			__sync_fetch_and_add(&quota->left, left + more > most ? most - left : more);
		}
	}
	return quota->left <= 0;
}

#endif
