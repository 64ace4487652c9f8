"""A KV cache in small pieces of mapped memory (cuMemCreate, cuMemMap), as kvcached has it.

Beside it requests write the first KEPT bytes of the cache over and over, as an engine's would.
A line is `map BYTES` or `give BYTES`; the answer is how many seconds that took. `requests` tells
how many there were since it was last asked, their P50 and their P99 in milliseconds.
"""

import ctypes
import math
import os
import sys
import threading
import time
from ctypes import byref, c_int, c_size_t, c_ubyte, c_uint64, c_void_p
from typing import Any

from typing_extensions import override


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
KEPT, ROUNDS = 256 << 20, 8  # of a request: a millisecond of a large GPU's


def do(name: str, *arguments: Any) -> None:
    if code := getattr(CUDA, name)(*arguments):
        print(f"{name}: error {code}", file=sys.stderr, flush=True)
        os._exit(1)  # of whichever thread


class Requests(threading.Thread):
    """Work on what stays mapped; a failed one ends the process."""

    def __init__(self, context: c_void_p, base: int) -> None:
        super().__init__(daemon=True)
        self._context, self._base = context, c_uint64(base)
        self._took: list[float] = []

    @override
    def run(self) -> None:
        do("cuCtxSetCurrent", self._context)
        while True:
            begun = time.monotonic()
            for _ in range(ROUNDS):
                do("cuMemsetD8_v2", self._base, c_ubyte(1), c_size_t(KEPT))
            do("cuCtxSynchronize")
            self._took.append(time.monotonic() - begun)
            time.sleep(0.001)

    def told(self) -> str:
        took, self._took = self._took, []
        took.sort()
        parts = [1e3 * took[math.ceil(part * len(took)) - 1] for part in (0.5, 0.99) if took]
        return " ".join([str(len(took)), *(f"{part:.2f}" for part in parts)])


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
    requests = Requests(context, base.value)
    print("ready", flush=True)
    for line in sys.stdin:
        what, *size = line.split()
        if what == "requests":
            print(requests.told(), flush=True)
            continue
        begun = time.monotonic()
        for _ in range(int(size[0]) // PIECE):
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
        if not requests.is_alive():
            requests.start()


main()
