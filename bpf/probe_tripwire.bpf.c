// SPDX-License-Identifier: GPL-2.0-only
/* Probe: can the charging of a batch of pages be traced? It is attached for a moment. */
#include "kernel.h"

SEC("fentry/page_counter_try_charge")
int BPF_PROG(probe_tripwire)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
