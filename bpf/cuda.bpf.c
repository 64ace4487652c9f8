// SPDX-License-Identifier: GPL-2.0-only
/*
 * cuda.bpf.c: what a lease's processes take of the GPU's memory, counted and stopped at libcuda's door.
 *
 * What. A call was granted so many bytes. It must not take more: the inference engine has the rest, and
 * an engine that is out of memory takes all agents with it. It need not fail either: the engine may
 * give more, if it is asked before the memory is taken and not after.
 *
 * How. Programs at the entry and the return of libcuda's functions that take physical memory or give it
 * back, on the library's inode: who loads it, by what name or path, and who asks it for a function's
 * address, makes no difference. `accounts` has a quota for the cgroup of each lease; all below it count.
 *
 *   entry of an allocation   the size is charged before the body runs, so that two threads cannot both take
 *                            the last bytes. Does it not fit, the process is stopped (SIGSTOP, which takes
 *                            effect before the body) and the daemon is told: a gate.
 *   its return               what failed is uncharged; else the size is noted under its number.
 *   entry of a free          the note is taken away, before the number can be given out anew,
 *   its return               and uncharged, or put back where it failed.
 *   end of a process         all its notes are uncharged: the driver frees with it.
 *
 * At a gate the daemon freezes the leaf at once, which nothing in it can undo; then it raises the
 * quota and runs `decide`, which charges the call that waits, and lets it go on; or it kills the
 * process. Between the stop and the freeze a sibling may send SIGCONT. A gated call that returns
 * and does not fit even now is therefore killed by the return probe: its program never sees the memory.
 *
 * Physical memory (cuMemCreate) stays while it is mapped (cuMemMap) or retained, though its handle be
 * released: it is uncharged with the last of all.
 *
 * Sizes are charged as the driver rounds them: up to 2 MiB above 1 MiB, to 512 bytes below, arrays to 64 KiB.
 *
 * What was taken before, no probe saw. The daemon finds it from the driver's word and has it counted (`before`,
 * `correct`); `changes` tells it whether a reading and the account are of one time, `hidden` of how much the
 * driver may not tell.
 *
 * Worked example. Lease 44 has a quota of 250; its process allocates 100 three times.
 *
 *   alloc 100   used 100       returns address A: allocations[A] = 100
 *   alloc 100   used 200       returns address B
 *   alloc 100   300 > 250      call->state = GATED; event { lease=44 size=100 used=200 }; SIGSTOP
 *   decide 44 quota=300        used 300, state = PASSED; the daemon thaws it and sends SIGCONT
 *               returns C      allocations[C] = 100
 *   free A      used 200
 *   exit        used 0
 *
 * Limits. It holds who uses the library; it is no wall against who goes around it.
 * - Not seen: the driver's ioctls, jumps behind a function's first instruction, cuGetExportTable's private
 *   functions, a copy of the library before it is found, external and graph memory, mipmaps, and the context
 *   itself. The driver's own word (NVML) has to be compared with `used`.
 * - A SIGCONT that wins the race lets the driver take the memory for a moment, until the kill.
 * - What a pool keeps after cuMemFreeAsync counts as given back; a graph's and a shared handle's memory as
 *   nobody's. Managed memory counts in full, wherever it is; an array by its elements.
 * - One unmap of many mappings is heard only for that at its start: the others come back with the process.
 * - A function left by longjmp stays charged until the process ends; so does what has no room in the map of notes.
 * - So does a thread's first call where the kernel has no room to remember it (no memory; or a task that it put off on
 *   that CPU was at such a change, which it does not wait for); at the gate it is killed.
 * - An exec keeps the process, and what it is charged for. A child that shares its parent's memory (CLONE_VM) is
 *   a process of its own, and what it took is given back when it ends.
 * - A context's end (cuCtxDestroy, cuDevicePrimaryCtxReset) frees without a call: charged until the process
 *   ends, or a number is given out anew. At a process's end it is uncharged a little before the driver frees.
 * - An end goes unheard while another that ended is preempted in `ended` on that CPU (seen on 7.2): the daemon, which can read
 *   how many did, runs `unheard`. What such a process was in the middle of stays charged.
 * - A thread may change what it describes (a location, an array) between the probe's look and the driver's.
 */
#include "cuda_daemon.h"
#include "cuda_return.h"
#include "undivided.h"

char _license[] SEC("license") = "GPL";

PROBE("uprobe", alloc_entry)
{
	struct call call = { .what = TAKE, .space = ADDRESS };

	call.where = first(context);
	call.size = second(context);
	return take(&call);
}

PROBE("uprobe", managed_entry)
{
	struct call call = { .what = TAKE, .space = ADDRESS, .managed = true };

	call.where = first(context);
	call.size = second(context);
	return take(&call);
}

PROBE("uprobe", create_entry)
{
	struct call call = { .what = TAKE, .space = HANDLE };
	__u32 location = 0;

	/* In the host's memory it is none of ours. */
	if (!bpf_probe_read_user(&location, sizeof(location), (void *)third(context) + LOCATION) &&
	    location != ON_DEVICE)
		return 0;
	call.where = first(context);
	call.size = second(context);
	return take(&call);
}

PROBE("uprobe", pitch_entry)
{
	struct call call = { .what = TAKE_PITCH, .space = ADDRESS };

	call.where = first(context);
	call.about = second(context);
	call.rows = fourth(context);
	call.size = (third(context) + PITCH - 1) / PITCH * PITCH * call.rows;
	return take(&call);
}

/* It is read as it is in memory: who waits for a page of another's here keeps the probe from going. */
static __always_inline int take_array(struct pt_regs *context, int dimensions)
{
	struct call call = { .what = TAKE_ARRAY, .space = ARRAY };

	call.where = first(context);
	call.about = second(context);
	call.rows = dimensions;
	return take(&call);
}

PROBE("uprobe", array_entry)
{
	return take_array(context, 2);
}

PROBE("uprobe", array3d_entry)
{
	return take_array(context, 3);
}

static __always_inline int give(struct pt_regs *context, __u32 space)
{
	struct call call = { .what = GIVE, .space = space };
	struct allocation which = { .process = bpf_get_current_pid_tgid() >> 32, .space = space };
	struct gpu_account *account;
	struct held *held;

	which.number = call.number = first(context);
	held = bpf_map_lookup_elem(&allocations, &which);
	if (!held)
		return 0;
	call.lease = held->lease;
	call.note = *held;
	call.listed = space != HANDLE; /* whose note its mappings need until it is gone */
	forget();
	if (call.listed && !unnote(&which, &call.note))
		return 0; /* another thread gives it back */
	account = bpf_map_lookup_elem(&accounts, &call.lease);
	if (account) {
		call.hidden = call.note.size;
		hide(account, call.hidden);
	}
	if (enter(&call))
		return 0;
	left(&call);
	if (call.listed) {
		unlist(which.process, call.note.size);
		show(call.lease, call.note.hidden);
	}
	return 0;
}

PROBE("uprobe", free_entry)
{
	return give(context, ADDRESS);
}

PROBE("uprobe", release_entry)
{
	return give(context, HANDLE);
}

PROBE("uprobe", destroy_entry)
{
	return give(context, ARRAY);
}

static __always_inline bool begin(struct call *call)
{
	struct gpu_account *account = account_above(&call->lease);

	if (!account)
		return false;
	forget();
	if (call->hidden)
		hide(account, call->hidden);
	if (enter(call))
		return true;
	left(call);
	return false;
}

/* The handle is held from here on: another thread may release it meanwhile. */
PROBE("uprobe", map_entry)
{
	__u32 process = bpf_get_current_pid_tgid() >> 32;
	struct allocation owner = { fourth(context), process, HANDLE };
	struct held *held = bpf_map_lookup_elem(&allocations, &owner);
	struct call call = { .what = MAP, .space = MAPPING };

	if (!held)
		return 0;
	call.number = first(context);
	call.note.handle = owner.number;
	call.note.born = held->born;
	call.note.size = held->size;
	add(&owner, held, &held->mappings, 1);
	if (!begin(&call))
		unpinned(owner.number, call.note.born, process);
	return 0;
}

PROBE("uprobe", unmap_entry)
{
	struct allocation which = { .process = bpf_get_current_pid_tgid() >> 32, .space = MAPPING };
	struct call call = { .what = UNMAP, .space = MAPPING };
	struct held *held;

	which.number = call.number = first(context);
	held = bpf_map_lookup_elem(&allocations, &which);
	if (!held)
		return 0;
	call.hidden = held->size;
	begin(&call);
	return 0;
}

PROBE("uprobe", retain_entry)
{
	struct call call = { .what = RETAIN, .space = HANDLE };

	call.where = first(context);
	begin(&call);
	return 0;
}

PROBE("uretprobe", returned)
{
	struct call *found = current_call(), call;

	if (!found)
		return 0;
	call = *found;
	found->what = 0;
	came_back(&call, (__u32)answer(context));
	left(&call);
	return 0;
}

/* It was continued by another, and ended in there by itself: what it may have taken, the rest of its process has. */
static __always_inline void taken_unseen(const struct call *call)
{
	__u64 lease = call->lease;
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &lease);

	if (!account)
		return;
	__sync_fetch_and_add(&account->used, call->size);
	unlist(bpf_get_current_pid_tgid() >> 32, call->size);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(ended, struct task_struct *task)
{
	struct call *call = current_call();
	/* The last thread; this one is no longer counted. */
	bool last = task->signal->live.counter == 0;

	if (call && call->state == GATED) {
		/* By itself: not with its process, nor by an exec of another thread. */
		if (!last && !(task->signal->flags & SIGNAL_GROUP_EXIT) && !task->signal->group_exec_task)
			taken_unseen(call);
		call->what = 0; /* or a verdict would charge it yet: it is there until its parent asks */
	} else if (call && last) { /* Another may have dropped the process just now. */
		if (call->listed)
			uncharge_held(&call->note);
		else
			uncharge(call->lease, charged(call));
		left(call);
	} else {
		forget();
	}
	if (last)
		drop_process(bpf_get_current_pid_tgid() >> 32);
	return 0;
}
