/* SPDX-License-Identifier: Apache-2.0 */
/* What takes device memory and gives it back, but for memory that is mapped (mapping.c). */
#include "account.h"
#include "taking.h"

enum { PITCH = 512, SMALL = 512, LARGE = 2 << 20, LARGE_FROM = 1 << 20, ARRAYS = 64 << 10 };

uint64_t taking_size(enum space space, size_t rows, size_t width)
{
	uint64_t size, step;

	if (__builtin_mul_overflow(rows, width, &size))
		return UINT64_MAX;
	step = space == ARRAY ? ARRAYS : size > LARGE_FROM ? LARGE : SMALL;
	return size > UINT64_MAX - step ? UINT64_MAX : (size + step - 1) / step * step;
}

bool taking_begins(uint64_t size)
{
	bool fits;

	account_lock();
	fits = account_take(size);
	account_unlock();
	return fits;
}

CUresult taking_ends(CUresult result, enum space space, uint64_t number, uint64_t size)
{
	struct note *note, *old;

	account_lock();
	if (result) {
		account_give(size);
	} else if ((note = note_new(space, number, size))) {
		old = note_put(note);
		if (old)
			account_give(old->size);
		note_free(old);
	}
	account_unlock();
	return result;
}

struct note *giving_begins(enum space space, uint64_t number)
{
	struct note *note;

	account_lock();
	note = note_out(space, number);
	account_unlock();
	return note;
}

CUresult giving_ends(CUresult result, struct note *note)
{
	account_lock();
	if (note && result)
		note = note_put(note);
	if (note)
		account_give(note->size);
	note_free(note);
	account_unlock();
	return result;
}

void taking_forget(void)
{
	note_drop_all();
}

/* Of a function that answers with a pointer, and is given so many bytes. */
#define TAKE(name, p, bytes, ...)                                                            \
	uint64_t size = (bytes);                                                             \
	CUresult result;                                                                     \
                                                                                             \
	if (!taking_begins(size))                                                            \
		return OUT_OF_MEMORY;                                                        \
	result = REAL(name, __VA_ARGS__);                                                    \
	return taking_ends(result, POINTER, p ? *p : 0, size)

#define GIVE(name, space, number, ...)                                                       \
	struct note *note = giving_begins(space, number);                                    \
                                                                                             \
	return giving_ends(REAL(name, __VA_ARGS__), note)

CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t bytes)
{
	TAKE(cuMemAlloc_v2, p, taking_size(POINTER, 1, bytes), p, bytes);
}

CUresult cuMemAllocManaged(CUdeviceptr *p, size_t bytes, unsigned int flags)
{
	TAKE(cuMemAllocManaged, p, taking_size(POINTER, 1, bytes), p, bytes, flags);
}

CUresult cuMemAllocAsync(CUdeviceptr *p, size_t bytes, CUstream stream)
{
	TAKE(cuMemAllocAsync, p, taking_size(POINTER, 1, bytes), p, bytes, stream);
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *p, size_t bytes, CUstream stream)
{
	TAKE(cuMemAllocAsync_ptsz, p, taking_size(POINTER, 1, bytes), p, bytes, stream);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *p, size_t bytes, CUmemoryPool pool, CUstream stream)
{
	TAKE(cuMemAllocFromPoolAsync, p, taking_size(POINTER, 1, bytes), p, bytes, pool, stream);
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *p, size_t bytes, CUmemoryPool pool, CUstream stream)
{
	TAKE(cuMemAllocFromPoolAsync_ptsz, p, taking_size(POINTER, 1, bytes), p, bytes, pool, stream);
}

/* What a row is rounded up to is known afterwards: where that is more than we thought, it has to fit too. */
CUresult cuMemAllocPitch_v2(CUdeviceptr *p, size_t *pitch, size_t width, size_t height, unsigned int element)
{
	size_t row = width > SIZE_MAX - PITCH ? width : (width + PITCH - 1) / PITCH * PITCH;
	uint64_t size = taking_size(POINTER, height, row), real_size;
	CUresult result;

	if (!taking_begins(size))
		return OUT_OF_MEMORY;
	result = REAL(cuMemAllocPitch_v2, p, pitch, width, height, element);
	real_size = result ? size : taking_size(POINTER, height, *pitch);
	if (real_size > size) {
		if (taking_begins(real_size - size)) {
			size = real_size;
		} else {
			REAL(cuMemFree_v2, *p);
			result = OUT_OF_MEMORY;
		}
	}
	return taking_ends(result, POINTER, p ? *p : 0, size);
}

/* Bytes of one channel, by enum CUarray_format; the longest where it is none of the plain ones. */
static uint64_t array(size_t width, size_t height, size_t depth, unsigned int format, unsigned int channels)
{
	size_t channel = format == 1 || format == 8 ? 1 : format == 2 || format == 9 || format == 16 ? 2 : 4;
	size_t row, rows;

	if (__builtin_mul_overflow(width, channel * channels, &row) ||
	    __builtin_mul_overflow(height ? height : 1, depth ? depth : 1, &rows))
		return UINT64_MAX;
	return taking_size(ARRAY, rows, row);
}

CUresult cuArrayCreate_v2(CUarray *a, const CUDA_ARRAY_DESCRIPTOR *is)
{
	uint64_t size = is ? array(is->width, is->height, 1, is->format, is->channels) : 0;
	CUresult result;

	if (!taking_begins(size))
		return OUT_OF_MEMORY;
	result = REAL(cuArrayCreate_v2, a, is);
	return taking_ends(result, ARRAY, a ? (uint64_t)*a : 0, size);
}

CUresult cuArray3DCreate_v2(CUarray *a, const CUDA_ARRAY3D_DESCRIPTOR *is)
{
	bool empty = !is || is->flags & (SPARSE_ARRAY | MAPPED_LATER); /* what is mapped there is charged by its handle */
	uint64_t size = empty ? 0 : array(is->width, is->height, is->depth, is->format, is->channels);
	CUresult result;

	if (!taking_begins(size))
		return OUT_OF_MEMORY;
	result = REAL(cuArray3DCreate_v2, a, is);
	return taking_ends(result, ARRAY, a ? (uint64_t)*a : 0, size);
}

CUresult cuArrayDestroy(CUarray a)
{
	GIVE(cuArrayDestroy, ARRAY, (uint64_t)a, a);
}

CUresult cuMemFree_v2(CUdeviceptr p)
{
	GIVE(cuMemFree_v2, POINTER, p, p);
}

CUresult cuMemFreeAsync(CUdeviceptr p, CUstream stream)
{
	GIVE(cuMemFreeAsync, POINTER, p, p, stream);
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr p, CUstream stream)
{
	GIVE(cuMemFreeAsync_ptsz, POINTER, p, p, stream);
}
