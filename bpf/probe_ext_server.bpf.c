// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probe: does the kernel keep a part of each CPU for tasks of a BPF scheduler (rq.ext_server)? Without,
 * ordinary tasks that never sleep leave it nothing in partial mode, until the watchdog ejects it. A
 * relocation to a missing field makes a program that does not load, and libbpf names the field.
 */
#include "kernel.h"

struct sched_dl_entity___probe {
	__u64 dl_runtime;
} KTYPE;

struct rq___probe {
	struct sched_dl_entity___probe ext_server;
} KTYPE;

SEC("tp_btf/sched_process_fork")
int BPF_PROG(probe_ext_server)
{
	/* Never followed: an offset is asked for, by a pointer of that type. */
	struct rq___probe *rq = (void *)ctx;

	return bpf_core_field_offset(rq->ext_server);
}

char LICENSE[] SEC("license") = "GPL";
