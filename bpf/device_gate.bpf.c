// SPDX-License-Identifier: GPL-2.0-only
/*
 * device_gate.bpf.c: a call without a lease does not open the GPU.
 *
 * What. An agent that never asked for GPU memory starts a program that takes some, and the inference
 * engine on the same GPU is out of memory. Every way to that memory begins with opening one of the
 * driver's character devices (/dev/nvidiactl, /dev/nvidia0, /dev/nvidia-uvm): a path, a library or
 * a container does not matter. So below the cgroup that this is attached to, opening one is refused
 * (EPERM) except in a cgroup that has a lease, and in all below that.
 *
 * How. One program of the kernel's device controller, attached to the pool of all sessions. The
 * controller asks it at each open and mknod of a device. A device whose major number is not in `gated`
 * is none of its business. Else it looks whether the current cgroup, or one above it, is in `leased`. The
 * kernel wants the yes of every program from the cgroup up to the root, so what dockerd or systemd
 * refuse stays refused, and their programs stay where they are (BPF_F_ALLOW_MULTI, which a link implies).
 *
 * Making a device node is not refused: a container's runtime makes those of its container, long before a call
 * there asks for a lease, and a node that nobody may open gives nothing.
 *
 * Link and maps are pinned. A daemon that is killed leaves the gate shut for who has no lease and open
 * for who has, and the next one adopts it; one that stops takes it away. A lease whose cgroup is gone
 * is an entry that never matches again: the kernel does not give an id twice.
 *
 * Worked example. Pool 40, two calls 44 and 47, gated = { 195, 511 }, leased = { 44 }.
 *
 *   in 44      open /dev/nvidiactl (195, 255)  44 is in `leased`          opened
 *   in 47      open /dev/nvidiactl (195, 255)  47, 42, 40 are not         EPERM, refused[47] = 1
 *   in 47      open /dev/null (1, 3)           1 is not gated             opened
 *   in 41, its agent outside any call          as 47                      EPERM
 *
 * Limits.
 * - What is open stays open, before a lease began and after it ended, and may be passed on or inherited: who
 *   ends a lease ends the processes that use the device, or leaves them to the watchdog.
 * - It gives a lease no size: another guard holds it to its bytes.
 * - A GPU's display node (/dev/dri, major 226) is gated only if that number is entered.
 * - A cgroup deeper than LEVELS has no lease.
 * - Where a program without BPF_F_ALLOW_MULTI sits on the cgroup or above, the kernel refuses the attach.
 */
#include "kernel.h"

char _license[] SEC("license") = "GPL";

#define LEVELS 24 /* of cgroups that are walked, downwards */
#define LEASES 4096
#define MAJORS 64
#define REFUSALS 1024

/* Major numbers of the devices that need a lease. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAJORS);
	__type(key, __u32);
	__type(value, __u8);
} gated SEC(".maps");

/* Ids of the cgroups that have one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LEASES);
	__type(key, __u64);
	__type(value, __u8);
} leased SEC(".maps");

/* How often one was refused, by the id of its cgroup; the least recent are forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, REFUSALS);
	__type(key, __u64);
	__type(value, __u64);
} refused SEC(".maps");

static __always_inline bool has_lease(void)
{
	for (int level = 1; level < LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return false;
		if (bpf_map_lookup_elem(&leased, &id))
			return true;
	}
	return false;
}

static __always_inline void count_refusal(void)
{
	__u64 id = bpf_get_current_cgroup_id(), first = 1;
	__u64 *count = bpf_map_lookup_elem(&refused, &id);

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&refused, &id, &first, BPF_ANY);
}

SEC("cgroup/dev")
int device_gate(struct bpf_cgroup_dev_ctx *asked)
{
	__u32 major = asked->major;

	if ((asked->access_type & 0xffff) != BPF_DEVCG_DEV_CHAR)
		return 1;
	if (!((asked->access_type >> 16) & (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)))
		return 1;
	if (!bpf_map_lookup_elem(&gated, &major) || has_lease())
		return 1;
	count_refusal();
	return 0;
}
