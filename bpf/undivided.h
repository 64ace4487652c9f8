/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * undivided.h: programs at user probes, none of which another task runs in the middle of.
 *
 * The kernel may preempt a program at a user probe and run it for another task on the same CPU. From 6.13 on (x86) the
 * stack of a program that needs more than 64 bytes is the CPU's, not the task's: that second run would write over what the
 * first has there. Elsewhere such a second run is left out; at user probes nothing keeps it off. So each
 * program here is preempted nowhere. Its body is a function of its own, so that nothing of it is done before.
 *
 * Limit. Newer kernels send a signal of a program that is not to be preempted by an interrupt to the CPU itself: at once
 * where there is such an interrupt, as on x86, and before the probe is over. A kernel for real time may put it off.
 */
#ifndef AGENTCG_UNDIVIDED_H
#define AGENTCG_UNDIVIDED_H

#include "kernel.h"

/* Since 6.10; before, the stack is the task's. */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

struct pt_regs;

#define PROBE(section, name)                                             \
	static __noinline int name##_undivided(struct pt_regs *context); \
	SEC(section)                                                     \
	int name(struct pt_regs *context)                                \
	{                                                                \
		if (bpf_preempt_disable)                                 \
			bpf_preempt_disable();                           \
		name##_undivided(context);                               \
		if (bpf_preempt_enable)                                  \
			bpf_preempt_enable();                            \
		return 0;                                                \
	}                                                                \
	static __noinline int name##_undivided(struct pt_regs *context)

#endif
