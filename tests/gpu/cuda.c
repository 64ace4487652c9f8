/*
 * A libcuda.so.1 without a GPU: the driver's exported names and signatures (cuda.h of CUDA 12), a
 * device's memory that is only counted. The count is shared by all processes, in the file that
 * FAKE_CUDA names: { total, used, peak, taken }, as 64-bit numbers. Handles belong to a process.
 * Who allocates becomes, inside that call, the program that FAKE_CUDA_EXEC names; with FAKE_CUDA_END its thread ends
 * there, once it has the memory.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef int CUresult;
typedef uint64_t CUdeviceptr, CUmemGenericAllocationHandle;
typedef void *CUstream, *CUmemoryPool, *CUarray;
typedef struct { int type, handles; struct { int type, id; } location; } CUmemAllocationProp;
typedef struct { size_t width, height; unsigned int format, channels; } CUDA_ARRAY_DESCRIPTOR;
typedef struct { size_t width, height, depth; unsigned int format, channels, flags; } CUDA_ARRAY3D_DESCRIPTOR;

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NOT_FOUND = 500 };
enum { MOST = 40000, PER_THREAD = 2, PITCH = 512, ARRAY = 65536 };

struct device { _Atomic uint64_t total, used, peak, taken; };
struct block { uint64_t number, size; int mappings, released, retained; uint64_t owner; };

static struct device *device;
static struct block blocks[MOST];
static uint64_t next = 0x7f0000000000;
static pid_t owner; /* a fork's child has no context */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

CUresult cuInit(unsigned int flags)
{
	const char *path = getenv("FAKE_CUDA");
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (flags || file < 0)
		return INVALID_VALUE;
	device = mmap(NULL, sizeof(*device), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (device == MAP_FAILED)
		return INVALID_VALUE;
	memset(blocks, 0, sizeof(blocks));
	owner = getpid();
	return SUCCESS;
}

static struct block *find(uint64_t number)
{
	for (int n = 0; n < MOST; n++)
		if (blocks[n].number == number)
			return &blocks[n];
	return NULL;
}

static CUresult take_by(uint64_t *answer, uint64_t size, uint64_t step)
{
	CUresult result = OUT_OF_MEMORY;
	const char *exec = getenv("FAKE_CUDA_EXEC");
	struct block *block;
	uint64_t used;

	if (exec)
		execl(exec, exec, (char *)NULL);
	size = (size + step - 1) / step * step;

	if (!device || owner != getpid())
		return NOT_INITIALIZED;
	if (!answer || !size)
		return INVALID_VALUE;
	pthread_mutex_lock(&lock);
	block = find(0);
	used = atomic_fetch_add(&device->used, size) + size;
	if (block && used <= device->total) {
		uint64_t peak = device->peak;

		while (used > peak && !atomic_compare_exchange_weak(&device->peak, &peak, used))
			;
		atomic_fetch_add(&device->taken, 1);
		*block = (struct block){ .number = next, .size = size };
		*answer = next;
		next += 4096;
		result = SUCCESS;
	} else {
		atomic_fetch_sub(&device->used, size);
	}
	pthread_mutex_unlock(&lock);
	if (getenv("FAKE_CUDA_END"))
		syscall(SYS_exit, 0);
	return result;
}

static CUresult take(uint64_t *answer, uint64_t size)
{
	return take_by(answer, size, size > 1 << 20 ? 2 << 20 : 512);
}

static CUresult give(uint64_t number)
{
	CUresult result = INVALID_VALUE;
	struct block *block;

	pthread_mutex_lock(&lock);
	block = number && owner == getpid() ? find(number) : NULL;
	if (block && block->retained) {
		block->retained--;
		result = SUCCESS;
	} else if (block) {
		block->released = 1;
		if (!block->mappings) {
			atomic_fetch_sub(&device->used, block->size);
			memset(block, 0, sizeof(*block));
		}
		result = SUCCESS;
	}
	pthread_mutex_unlock(&lock);
	return result;
}

/* Each is a function of its own, as in the driver: none may be folded into another. */
#define OWN(name, ...) __attribute__((noinline)) CUresult name(__VA_ARGS__)

OWN(cuMemAlloc_v2, CUdeviceptr *p, size_t size) { return take(p, size); }
OWN(cuMemAllocManaged, CUdeviceptr *p, size_t size, unsigned int flags) { return flags ? take(p, size) : INVALID_VALUE; }
OWN(cuMemAllocAsync, CUdeviceptr *p, size_t size, CUstream s) { (void)s; return take(p, size); }
OWN(cuMemAllocAsync_ptsz, CUdeviceptr *p, size_t size, CUstream s) { (void)s; return take(p, size); }
OWN(cuMemAllocFromPoolAsync, CUdeviceptr *p, size_t size, CUmemoryPool m, CUstream s) { (void)m, (void)s; return take(p, size); }
OWN(cuMemAllocFromPoolAsync_ptsz, CUdeviceptr *p, size_t size, CUmemoryPool m, CUstream s) { (void)m, (void)s; return take(p, size); }
OWN(cuMemFree_v2, CUdeviceptr p) { return give(p); }
OWN(cuMemFreeAsync, CUdeviceptr p, CUstream s) { (void)s; return give(p); }
OWN(cuMemFreeAsync_ptsz, CUdeviceptr p, CUstream s) { (void)s; return give(p); }
OWN(cuMemRelease, CUmemGenericAllocationHandle h) { return give(h); }
OWN(cuArrayDestroy, CUarray a) { return give((uint64_t)a); }

OWN(cuMemAllocPitch_v2, CUdeviceptr *p, size_t *pitch, size_t width, size_t height, unsigned int element)
{
	(void)element;
	*pitch = (width + PITCH - 1) / PITCH * PITCH;
	return take(p, *pitch * height);
}

OWN(cuMemCreate, CUmemGenericAllocationHandle *h, size_t size, const CUmemAllocationProp *prop, unsigned long long flags)
{
	if (flags || !prop)
		return INVALID_VALUE;
	return take(h, size);
}

static size_t element(unsigned int format, unsigned int channels)
{
	return channels * (format == 1 || format == 8 ? 1 : format == 2 || format == 9 || format == 16 ? 2 : 4);
}

OWN(cuArrayCreate_v2, CUarray *a, const CUDA_ARRAY_DESCRIPTOR *d)
{
	return take_by((uint64_t *)a, d->width * (d->height ? d->height : 1) * element(d->format, d->channels), ARRAY);
}

OWN(cuArray3DCreate_v2, CUarray *a, const CUDA_ARRAY3D_DESCRIPTOR *d)
{
	size_t rows = (d->height ? d->height : 1) * (d->depth ? d->depth : 1);

	return take_by((uint64_t *)a, d->width * rows * element(d->format, d->channels), ARRAY);
}

OWN(cuMemMap, CUdeviceptr p, size_t size, size_t offset, CUmemGenericAllocationHandle h, unsigned long long flags)
{
	struct block *block = find(h), *map = find(0);

	if (!block || !map || offset || flags || size != block->size)
		return INVALID_VALUE;
	block->mappings++;
	*map = (struct block){ .number = p, .owner = h };
	return SUCCESS;
}

/* All that are side by side in the range. */
OWN(cuMemUnmap, CUdeviceptr p, size_t size)
{
	CUresult result = INVALID_VALUE;

	for (uint64_t at = p, step; at - p < size; at += step) {
		struct block *map = find(at), *block = map && map->owner ? find(map->owner) : NULL;

		if (!block)
			break;
		step = block->size;
		memset(map, 0, sizeof(*map));
		result = !--block->mappings && block->released ? give(block->number) : SUCCESS;
	}
	return result;
}

/* Only whether there is memory at its first byte. */
OWN(cuMemsetD8_v2, CUdeviceptr p, unsigned char value, size_t size)
{
	struct block *map = find(p);

	(void)value, (void)size;
	return map && map->owner ? SUCCESS : INVALID_VALUE;
}

OWN(cuMemRetainAllocationHandle, CUmemGenericAllocationHandle *h, void *p)
{
	struct block *map = find((uint64_t)p), *block = map ? find(map->owner) : NULL;

	if (!block)
		return INVALID_VALUE;
	block->retained++;
	*h = block->number;
	return SUCCESS;
}

/* Frees all; the same numbers are given out anew. */
OWN(cuDevicePrimaryCtxReset_v2, int one)
{
	(void)one;
	for (int n = 0; n < MOST; n++)
		atomic_fetch_sub(&device->used, blocks[n].size);
	memset(blocks, 0, sizeof(blocks));
	next = 0x7f0000000000;
	return SUCCESS;
}

OWN(cuDeviceGet, int *one, int number) { *one = number; return number ? INVALID_VALUE : SUCCESS; }
OWN(cuDevicePrimaryCtxRetain, void **context, int one) { (void)one; *context = blocks; return SUCCESS; }
OWN(cuCtxSetCurrent, void *context) { return context == blocks ? SUCCESS : INVALID_VALUE; }
OWN(cuCtxSynchronize, void) { return SUCCESS; }
OWN(cuMemSetAccess, CUdeviceptr p, size_t size, const void *who, size_t count) { (void)size, (void)who; return p && count ? SUCCESS : INVALID_VALUE; }

OWN(cuMemAddressReserve, CUdeviceptr *p, size_t size, size_t alignment, CUdeviceptr where, unsigned long long flags)
{
	(void)size, (void)alignment, (void)where, (void)flags;
	*p = 0x10000000000;
	return SUCCESS;
}

OWN(cuMemGetInfo_v2, size_t *free, size_t *total)
{
	if (!device)
		return NOT_INITIALIZED;
	*total = device->total;
	*free = device->total - device->used;
	return SUCCESS;
}

OWN(cuDeviceTotalMem_v2, size_t *bytes, int one)
{
	if (!device || one)
		return INVALID_VALUE;
	*bytes = device->total;
	return SUCCESS;
}

/* The name without a version means its newest; the flag means the variants for per-thread streams. */
#define VERSION(name) { #name, (void *)name##_v2, (void *)name##_v2 }
#define STREAM(name) { #name, (void *)name, (void *)name##_ptsz }
#define PLAIN(name) { #name, (void *)name, (void *)name }

CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status)
{
	static const struct { const char *name; void *legacy, *per_thread; } names[] = {
		PLAIN(cuInit), VERSION(cuMemAlloc), VERSION(cuMemFree), VERSION(cuMemAllocPitch),
		VERSION(cuMemGetInfo), VERSION(cuArrayCreate), VERSION(cuArray3DCreate), PLAIN(cuArrayDestroy),
		PLAIN(cuMemAllocManaged), STREAM(cuMemAllocAsync), STREAM(cuMemAllocFromPoolAsync),
		STREAM(cuMemFreeAsync), PLAIN(cuMemCreate), PLAIN(cuMemRelease), PLAIN(cuMemMap), PLAIN(cuMemUnmap),
		PLAIN(cuMemRetainAllocationHandle), VERSION(cuDeviceTotalMem), VERSION(cuGetProcAddress),
	};

	(void)version;
	for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++) {
		if (strcmp(symbol, names[n].name))
			continue;
		*function = flags & PER_THREAD ? names[n].per_thread : names[n].legacy;
		if (status)
			*status = 0;
		return SUCCESS;
	}
	*function = NULL;
	if (status)
		*status = 1;
	return NOT_FOUND;
}

/* Before CUDA 12. */
CUresult cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags)
{
	return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}
