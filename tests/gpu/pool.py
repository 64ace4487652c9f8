"""A KV cache in small pieces of mapped memory (cuMemCreate, cuMemMap), as kvcached has it.

A line is `map BYTES` or `give BYTES`; the answer is how many seconds that took.
"""

import ctypes
import sys
import time
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from typing import Any


class Prop(ctypes.Structure):
    """CUmemAllocationProp."""

    _fields_ = (
        *((name, c_int) for name in ("type", "handles", "location", "id")),
        *(("windows", c_void_p), ("flags", c_uint64)),
    )


class Access(ctypes.Structure):
    """CUmemAccessDesc: a device may read and write."""

    _fields_ = (("location", c_int), ("id", c_int), ("flags", c_int))


CUDA = ctypes.CDLL("libcuda.so.1")
PIECE = 2 << 20
PINNED, ON_DEVICE, READ_WRITE = 1, 1, 3
MOST = 1 << 40  # of addresses


def do(name: str, *arguments: Any) -> None:
    if code := getattr(CUDA, name)(*arguments):
        sys.exit(f"{name}: error {code}")


def main() -> None:
    device, context, base = c_int(), c_void_p(), c_uint64()
    do("cuInit", 0)
    do("cuDeviceGet", byref(device), 0)
    do("cuDevicePrimaryCtxRetain", byref(context), device)
    do("cuCtxSetCurrent", context)
    nothing = c_uint64(0)
    do("cuMemAddressReserve", byref(base), c_size_t(MOST), c_size_t(0), nothing, nothing)
    prop, access = Prop(PINNED, 0, ON_DEVICE, 0), Access(ON_DEVICE, 0, READ_WRITE)
    handles: list[c_uint64] = []
    piece = c_size_t(PIECE)
    print("ready", flush=True)
    for line in sys.stdin:
        what, size = line.split()
        begun = time.monotonic()
        for _ in range(int(size) // PIECE):
            if what == "map":
                handle, at = c_uint64(), c_uint64(base.value + len(handles) * PIECE)
                do("cuMemCreate", byref(handle), piece, byref(prop), nothing)
                do("cuMemMap", at, piece, c_size_t(0), handle, nothing)
                do("cuMemSetAccess", at, piece, byref(access), c_size_t(1))
                handles.append(handle)
            else:
                handle = handles.pop()
                do("cuMemUnmap", c_uint64(base.value + len(handles) * PIECE), piece)
                do("cuMemRelease", handle)
        print(time.monotonic() - begun, flush=True)


main()
