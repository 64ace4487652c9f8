"""Uses a GPU by the driver's API, or (python taker.py torch) by torch.

For each line of its input it allocates so many bytes; `ways` is of how many functions
cuGetProcAddress gives what the library exports.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

NAMES = (
    *("cuMemAlloc_v2", "cuMemFree_v2", "cuMemGetInfo_v2", "cuMemAllocManaged", "cuMemCreate"),
    *("cuMemAllocAsync", "cuMemFreeAsync", "cuMemAllocFromPoolAsync", "cuMemRelease"),
)


def driver() -> Callable[[int], int]:
    do("cuInit", 0)
    device, context, where = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    do("cuDeviceGet", ctypes.byref(device), 0)
    do("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    do("cuCtxSetCurrent", context)
    return lambda size: int(CUDA.cuMemAlloc_v2(ctypes.byref(where), ctypes.c_size_t(size)))


def torch() -> Callable[[int], int]:
    import torch as module  # type: ignore[import-not-found,unused-ignore]

    kept: list[Any] = [module.zeros(1, device="cuda")]

    def take(size: int) -> int:
        kept.append(module.empty(size, dtype=module.uint8, device="cuda"))
        return 0

    return take


def do(name: str, *arguments: Any) -> None:
    if code := getattr(CUDA, name)(*arguments):
        sys.exit(f"{name}: error {code}")


def ways() -> int:
    """Of how many it gives the same."""
    same = 0
    for name in NAMES:
        at, plain = ctypes.c_void_p(), name.removesuffix("_v2").encode()
        CUDA.cuGetProcAddress_v2(plain, ctypes.byref(at), 12000, ctypes.c_uint64(0), None)
        same += at.value == ctypes.cast(getattr(CUDA, name), ctypes.c_void_p).value
    return same


def main() -> None:
    take = torch() if sys.argv[1:] == ["torch"] else driver()
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "ways\n":
            print(f"{ways()} of {len(NAMES)}", flush=True)
            continue
        code = take(int(line))
        print(f"error {code}" if code else "done", flush=True)


CUDA = ctypes.CDLL("libcuda.so.1")
main()
