/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver behind the shim, and the ways to its functions: by name, which the loader gives ours first,
 * or by cuGetProcAddress. What is not hooked the loader finds in the driver itself, as a dependency: our
 * BRIDGE, a library without anything, has the driver's usual places as auxiliary ones (DT_AUXILIARY), of which
 * those that are not there are no error.
 */
#include <dlfcn.h>

#include "account.h"
#include "cuda.h"
#include "taking.h"

void *real[HOOKS];

#define HOOK(name) { #name, (void *)name },
static const struct { const char *name; void *ours; } hooks[] = { HOOKED(HOOK) };

__attribute__((constructor)) static void begin(void)
{
	void *bridge = dlopen(BRIDGE, RTLD_LAZY | RTLD_NOLOAD);

	account_begin(taking_forget);
	for (int n = 0; bridge && n < HOOKS; n++)
		real[n] = dlsym(bridge, hooks[n].name);
}

/* By its name the probes on libcuda know that this is not the driver (agentcg/gpu/libcuda.py). */
CUresult agentcg_shim(void)
{
	return SUCCESS;
}

CUresult cuInit(unsigned int flags)
{
	return REAL(cuInit, flags);
}

/* By address, not by name: a later version of a function may have other arguments. */
static CUresult ours(CUresult result, void **function)
{
	for (int n = 0; !result && n < HOOKS; n++)
		if (real[n] && *function == real[n])
			*function = hooks[n].ours;
	return result;
}

CUresult cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags)
{
	return ours(REAL(cuGetProcAddress, symbol, function, version, flags), function);
}

CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status)
{
	return ours(REAL(cuGetProcAddress_v2, symbol, function, version, flags, status), function);
}

CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
	CUresult result = REAL(cuMemGetInfo_v2, free, total);
	uint64_t limit, room;

	account_lock();
	if (!result && account_room(&limit, &room)) {
		*total = limit < *total ? limit : *total;
		*free = room < *free ? room : *free;
	}
	account_unlock();
	return result;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
	CUresult result = REAL(cuDeviceTotalMem_v2, bytes, device);
	uint64_t limit;

	account_lock();
	if (!result && account_limit(&limit))
		*bytes = limit < *bytes ? limit : *bytes;
	account_unlock();
	return result;
}
