// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probe: what runs at a function's return. It counts, so that who called the function knows of it.
 */
#include "kernel.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} returns SEC(".maps");

SEC("uretprobe")
int probe_uretprobe(void *context)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&returns, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
