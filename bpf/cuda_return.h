/* SPDX-License-Identifier: GPL-2.0-only */
/* cuda_return.h: what becomes of a call of libcuda's when it comes back. */
#ifndef AGENTCG_CUDA_RETURN_H
#define AGENTCG_CUDA_RETURN_H

#include "cuda_call.h"

/* The size as it is known by now. */
static __always_inline __u64 settled(const struct call *call)
{
	__u64 pitch = 0, size = 0;

	if (call->what == TAKE_PITCH && !bpf_probe_read_user(&pitch, 8, (void *)call->about))
		size = rounded(pitch * call->rows, call->space);
	else if (call->what == TAKE_ARRAY && !call->size)
		size = rounded(array(call), call->space);
	return size > call->size ? size : call->size;
}

static __always_inline void taken(struct call *call, struct gpu_account *account,
				  struct allocation *which)
{
	struct held held = { .lease = call->lease, .size = settled(call), .references = 1 };

	/* What is still not to be read is hidden: the driver has read it. */
	if ((call->what == TAKE_ARRAY && !held.size) ||
	    (held.size > call->size && !charge(account, held.size - call->size))) {
		kill_caller(GPU_LOST, call, account);
		held.size = call->size;
	}
	held.born = __sync_fetch_and_add(&births, 1) + 1;
	if (bpf_probe_read_user(&which->number, 8, (void *)call->where)) {
		unlist(which->process, held.size);
		return;
	}
	replaced(which);
	if (call->managed) {
		held.hidden = held.size;
		hide(account, held.hidden);
	}
	keep(which, &held);
}

static __always_inline void released(struct call *call, struct allocation *owner)
{
	struct held *held = handle_of(owner, call->note.born);

	if (!held)
		return;
	if (held->references)
		add(owner, held, &held->references, -1);
	gone(held, owner);
}

static __always_inline void retained(struct call *call, struct allocation *owner)
{
	struct held *held;

	if (bpf_probe_read_user(&owner->number, 8, (void *)call->where))
		return;
	held = bpf_map_lookup_elem(&allocations, owner);
	if (held)
		add(owner, held, &held->references, 1);
}

/* Without room for the note its end will not be heard, and the handle stays until its process ends. */
static __always_inline void mapped(struct call *call, struct allocation *which)
{
	unmapped(which);
	call->note.lease = call->lease;
	note(which, &call->note);
}

static __always_inline void came_back(struct call *call, bool failed)
{
	struct gpu_account *account = bpf_map_lookup_elem(&accounts, &call->lease);
	struct allocation which = { call->number, bpf_get_current_pid_tgid() >> 32, call->space };

	if (call->what <= TAKE_ARRAY) {
		if (failed)
			uncharge(call->lease, charged(call));
		else if (account && call->state == GATED && !charge(account, call->size))
			kill_caller(GPU_KILLED, call, account); /* it went on without leave */
		else if (account)
			taken(call, account, &which);
	} else if (call->what == GIVE && call->listed) {
		if (failed)
			keep(&which, &call->note);
		else
			uncharge_held(&call->note);
	} else if (call->what == MAP && failed) {
		unpinned(call->note.handle, call->note.born, which.process);
	} else if (failed) {
		return;
	} else if (call->what == GIVE) {
		released(call, &which);
	} else if (call->what == MAP) {
		mapped(call, &which);
	} else if (call->what == UNMAP) {
		unmapped(&which);
	} else {
		retained(call, &which);
	}
}

#endif
