"""Uses a GPU by the driver's API: for each line of its input it allocates so many bytes."""

import ctypes
import sys
from typing import Any


def main() -> None:
    cuda = ctypes.CDLL("libcuda.so.1")

    def do(name: str, *arguments: Any) -> None:
        if code := getattr(cuda, name)(*arguments):
            sys.exit(f"{name}: error {code}")

    device, context, where = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    do("cuInit", 0)
    do("cuDeviceGet", ctypes.byref(device), 0)
    do("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    do("cuCtxSetCurrent", context)
    print("ready", flush=True)
    for line in sys.stdin:
        do("cuMemAlloc_v2", ctypes.byref(where), ctypes.c_size_t(int(line)))
        print("done", flush=True)


main()
