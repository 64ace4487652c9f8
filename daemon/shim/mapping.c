/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is mapped: it is there until the last of its handle's references and its mappings has gone. */
#include "account.h"
#include "taking.h"

static void less(struct note *handle)
{
	if (handle->references-- > 1)
		return;
	account_give(handle->size);
	note_free(note_out(HANDLE, handle->number));
}

/* The same one: the driver gives a number out anew once it is free. */
static struct note *handle_of(uint64_t number, uint64_t born)
{
	struct note *handle = note_find(HANDLE, number);

	return handle && handle->born == born ? handle : NULL;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *h, size_t bytes, const CUmemAllocationProp *is, unsigned long long flags)
{
	uint64_t size = taking_size(HANDLE, 1, bytes);
	CUresult result;

	if (is && is->location.type != ON_DEVICE)
		return REAL(cuMemCreate, h, bytes, is, flags);
	if (!taking_begins(size))
		return OUT_OF_MEMORY;
	result = REAL(cuMemCreate, h, bytes, is, flags);
	return taking_ends(result, HANDLE, h ? *h : 0, size);
}

CUresult cuMemRelease(CUmemGenericAllocationHandle h)
{
	struct note *handle;
	uint64_t born;
	CUresult result;

	account_lock();
	handle = note_find(HANDLE, h);
	born = handle ? handle->born : 0;
	account_unlock();
	result = REAL(cuMemRelease, h);
	account_lock();
	handle = handle_of(h, born);
	if (!result && handle)
		less(handle);
	account_unlock();
	return result;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *h, void *p)
{
	CUresult result = REAL(cuMemRetainAllocationHandle, h, p);
	struct note *handle;

	account_lock();
	handle = result ? NULL : note_find(HANDLE, *h);
	if (handle)
		handle->references++;
	account_unlock();
	return result;
}

CUresult cuMemMap(CUdeviceptr p, size_t size, size_t offset, CUmemGenericAllocationHandle h, unsigned long long flags)
{
	CUresult result = REAL(cuMemMap, p, size, offset, h, flags);
	struct note *handle, *mapping;

	account_lock();
	handle = note_find(HANDLE, h);
	/* Without a note of its mapping a handle is charged until the process ends. */
	if (!result && handle)
		handle->references++;
	/* Of memory that is not charged, too: a range may have both. */
	mapping = result ? NULL : note_new(MAPPING, p, size);
	if (mapping) {
		mapping->of = h;
		mapping->references = 0;
		mapping->birth = handle ? handle->born : 0;
		note_free(note_put(mapping));
	}
	account_unlock();
	return result;
}

/* A range may have several, side by side. They are out of the table while the driver is at it. */
CUresult cuMemUnmap(CUdeviceptr p, size_t size)
{
	struct note *those = NULL, *one, *handle;
	uint64_t at = p;
	CUresult result;

	account_lock();
	while (at - p < size && (one = note_out(MAPPING, at))) {
		at += one->size;
		one->next = those;
		those = one;
	}
	account_unlock();
	result = REAL(cuMemUnmap, p, size);
	account_lock();
	while ((one = those)) {
		those = one->next;
		if (result) {
			note_free(note_put(one));
			continue;
		}
		handle = handle_of(one->of, one->birth);
		if (handle)
			less(handle);
		note_free(one);
	}
	account_unlock();
	return result;
}
