// SPDX-License-Identifier: GPL-2.0-only
/* Probe: can a tracing program be loaded at all? */
#include "kernel.h"

SEC("raw_tp/sys_enter")
int probe_load(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
