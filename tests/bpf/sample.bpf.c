// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tests of the loader load: each fork of one process is counted in maps of several kinds
 * and told in a ring buffer. `refused` is a program that no verifier passes.
 */
#include "kernel.h"

struct sample_event {
	__u64 number;
	__s32 priority;
	__u8 flags[3];
	char name[9];
	struct {
		__u64 pages;
		__u32 parts[2];
	} grown;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 12);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} per_cpu SEC(".maps");

/* What only a ring buffer sees leaves no trace in the type information by itself. */
const struct sample_event *sample_event_type;

/* The process, as it is called in its pid namespace; set before loading. */
const volatile __u64 namespace_device = 0;
const volatile __u64 namespace_inode = 0;
const volatile __u32 process = 0;
__u64 number = 100;

SEC("tp_btf/sched_process_fork")
int BPF_PROG(count_forks)
{
	struct bpf_pidns_info self = {};
	struct sample_event *event;
	__u32 key = 0, *one;
	__u64 *count;

	if (bpf_get_ns_current_pid_tgid(namespace_device, namespace_inode, &self, sizeof(self)))
		return 0;
	if (self.tgid != process)
		return 0;
	__sync_fetch_and_add(&number, 1);
	one = bpf_map_lookup_elem(&per_cpu, &key);
	if (one)
		*one += 1;
	count = bpf_map_lookup_elem(&counts, &self.tgid);
	if (count)
		__sync_fetch_and_add(count, 1);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->number = number;
	event->priority = -7;
	event->name[0] = 'f';
	event->grown.parts[1] = self.tgid;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* What user space runs: sets the count of a key, and refuses key 0. */
struct order {
	__u64 count;
	__u32 key;
	__u32 zero;
};

SEC("syscall")
int set_count(struct order *order)
{
	__u32 key = order->key;
	__u64 count = order->count;

	if (!key)
		return -22;
	return bpf_map_update_elem(&counts, &key, &count, BPF_ANY);
}

SEC("?tp_btf/sched_process_fork")
int BPF_PROG(refused)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	return *count != 0;
}

char LICENSE[] SEC("license") = "GPL";
