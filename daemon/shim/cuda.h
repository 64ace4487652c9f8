/* SPDX-License-Identifier: Apache-2.0 */
/* cuda.h: what of the driver's ABI is hooked (cuda.h of CUDA 12). */
#ifndef AGENTCG_SHIM_CUDA_H
#define AGENTCG_SHIM_CUDA_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult, CUdevice;
typedef uint64_t CUdeviceptr, CUmemGenericAllocationHandle;
typedef void *CUstream, *CUmemoryPool, *CUarray;
typedef struct { int type, handles; struct { int type, id; } location; } CUmemAllocationProp;
typedef struct { size_t width, height; unsigned int format, channels; } CUDA_ARRAY_DESCRIPTOR;
typedef struct { size_t width, height, depth; unsigned int format, channels, flags; } CUDA_ARRAY3D_DESCRIPTOR;

enum { SUCCESS = 0, OUT_OF_MEMORY = 2, NO_DEVICE = 100 };
enum { ON_DEVICE = 1, SPARSE_ARRAY = 0x40, MAPPED_LATER = 0x80 };

#define HOOKED(each)                                                                              \
	each(cuInit) each(cuMemGetInfo_v2) each(cuDeviceTotalMem_v2)                              \
	each(cuGetProcAddress) each(cuGetProcAddress_v2)                                          \
	each(cuMemAlloc_v2) each(cuMemAllocManaged) each(cuMemAllocPitch_v2)                      \
	each(cuMemAllocAsync) each(cuMemAllocAsync_ptsz)                                          \
	each(cuMemAllocFromPoolAsync) each(cuMemAllocFromPoolAsync_ptsz)                          \
	each(cuArrayCreate_v2) each(cuArray3DCreate_v2) each(cuArrayDestroy)                      \
	each(cuMemFree_v2) each(cuMemFreeAsync) each(cuMemFreeAsync_ptsz)                         \
	each(cuMemCreate) each(cuMemRelease) each(cuMemRetainAllocationHandle)                    \
	each(cuMemMap) each(cuMemUnmap)

#define API __attribute__((visibility("default"))) CUresult
API agentcg_shim(void);
API cuInit(unsigned int flags);
API cuMemGetInfo_v2(size_t *free, size_t *total);
API cuDeviceTotalMem_v2(size_t *bytes, CUdevice device);
API cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags);
API cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status);
API cuMemAlloc_v2(CUdeviceptr *p, size_t size);
API cuMemAllocManaged(CUdeviceptr *p, size_t size, unsigned int flags);
API cuMemAllocPitch_v2(CUdeviceptr *p, size_t *pitch, size_t width, size_t height, unsigned int element);
API cuMemAllocAsync(CUdeviceptr *p, size_t size, CUstream stream);
API cuMemAllocAsync_ptsz(CUdeviceptr *p, size_t size, CUstream stream);
API cuMemAllocFromPoolAsync(CUdeviceptr *p, size_t size, CUmemoryPool pool, CUstream stream);
API cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *p, size_t size, CUmemoryPool pool, CUstream stream);
API cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *is);
API cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *is);
API cuArrayDestroy(CUarray array);
API cuMemFree_v2(CUdeviceptr p);
API cuMemFreeAsync(CUdeviceptr p, CUstream stream);
API cuMemFreeAsync_ptsz(CUdeviceptr p, CUstream stream);
API cuMemCreate(CUmemGenericAllocationHandle *h, size_t size, const CUmemAllocationProp *is, unsigned long long flags);
API cuMemRelease(CUmemGenericAllocationHandle h);
API cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *h, void *p);
API cuMemMap(CUdeviceptr p, size_t size, size_t offset, CUmemGenericAllocationHandle h, unsigned long long flags);
API cuMemUnmap(CUdeviceptr p, size_t size);

#define NUMBER(name) HOOK_##name,
enum hook { HOOKED(NUMBER) HOOKS };

extern void *real[HOOKS];

/* The driver's own; where there is none, a program is told so. */
#define REAL(name, ...) \
	(real[HOOK_##name] ? ((__typeof__(&name))real[HOOK_##name])(__VA_ARGS__) : NO_DEVICE)

#endif
