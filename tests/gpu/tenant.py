"""A program that takes GPU memory as it is told, line by line: python tenant.py FORM LIBRARY.

FORM is how it comes by a function: `dlsym` by the library's name (LD_LIBRARY_PATH), `proc` by
cuGetProcAddress, `proc11` by that of CUDA 11, `path` by the library's absolute path. Each line is
`take HOW BYTES`, `give HOW NUMBER`, `map NUMBER BYTES` (and where, if not there), `unmap NUMBER`
(and how many bytes, if not of one mapping), `retain NUMBER`, `reset`, `threads COUNT BYTES`,
`crowd COUNT BYTES`, `fork BYTES`, `signals PID`, `pairs COUNT BYTES`, `many COUNT BYTES`,
`churn COUNT BYTES`, `cancelled BYTES`, `linger`, `free`, `total`, `device`, `close` or `end`; each
answer but the last's is one line: a number, or `error CODE`.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

FORM, LIBRARY = sys.argv[1:3]
PER_THREAD = 2
SUCCESS = 0
# Ways to take none of a device's memory, though the fake driver counts it: function and flag.
NONE = {
    "host": ("cuMemCreate", 0),
    "sparse": ("cuArray3DCreate_v2", 0x40),
    "deferred": ("cuArray3DCreate_v2", 0x80),
}
LIB = ctypes.CDLL("libcuda.so.1" if FORM == "dlsym" else LIBRARY)


def function(name: str) -> Any:
    """The driver's function, by the form that was asked for."""
    if not FORM.startswith("proc"):
        return getattr(LIB, name)
    plain, address = name.removesuffix("_v2").removesuffix("_ptsz"), c_void_p()
    flags = PER_THREAD if name.endswith("_ptsz") else 0
    words = (plain.encode(), byref(address), c_int(12000), c_uint64(flags))
    if FORM == "proc11":
        found = LIB.cuGetProcAddress(*words)
    else:
        found = LIB.cuGetProcAddress_v2(*words, None)
    assert found == SUCCESS, name
    return ctypes.CFUNCTYPE(c_int)(address.value or 0)


class Prop(ctypes.Structure):
    """CUmemAllocationProp, as far as it matters."""

    _fields_ = (("type", c_int), ("handles", c_int), ("location", c_int), ("id", c_int))


def take(how: str, size: int) -> int:
    """The number of what was taken, or minus the driver's error."""
    name, flags = NONE.get(how, (how, 0))
    one, number = function(name), c_uint64()
    rest: tuple[object, ...] = (c_size_t(size),)
    if name == "cuMemAllocManaged":
        rest += (c_uint(1),)
    elif "Async" in name:
        rest += (None, None) if "Pool" in name else (None,)
    elif name == "cuMemCreate":
        rest += (byref(Prop(1, 0, 2 if how == "host" else 1, 0)), c_uint64(0))
    elif name == "cuMemAllocPitch_v2":
        rest = (byref(c_size_t()), c_size_t(size // 10), c_size_t(10), c_uint(4))
    elif name == "cuArrayCreate_v2":
        rest = (byref((c_uint64 * 3)(size // 4, 0, 0x20 | 1 << 32)),)
    elif name == "cuArray3DCreate_v2":
        rest = (byref((c_uint64 * 5)(size // 16, 2, 2, 0x20 | 1 << 32, flags)),)
    code = one(byref(number), *rest)
    return -code if code else number.value


def threads(count: int, size: int) -> int:
    """So many threads take at once; how many got it."""
    got: list[int] = []
    those = [
        threading.Thread(target=lambda: got.append(take("cuMemAlloc_v2", size)))
        for _ in range(count)
    ]
    for one in those:
        one.start()
    for one in those:
        one.join()
    return sum(one > 0 for one in got)


def crowd(rounds: int, size: int) -> int:
    """A child after another takes, and ends with threads that do nothing; how many that was."""
    for _ in range(rounds):
        child = os.fork()
        if not child:
            LIB.cuInit(0)
            many(400, size)
            for _ in range(2):
                threading.Thread(target=signal.pause, daemon=True).start()
            os._exit(0)
        os.waitpid(child, 0)
    return rounds


def fork(size: int) -> int:
    """A child with a context of its own takes, and ends."""
    child = os.fork()
    if not child:
        LIB.cuInit(0)
        os._exit(take("cuMemAlloc_v2", size) < 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def close() -> int:
    """Close what it did not open, as programs that become daemons do."""
    os.closerange(3, 1000)
    return 0


def cancelled(size: int) -> int:
    """Take in a thread that is to end at the next cancellation point. It is the only one here."""
    libc = ctypes.CDLL(None)
    libc.pthread_self.restype = c_void_p
    disabled = 1
    libc.pthread_cancel(c_void_p(libc.pthread_self()))
    number = take("cuMemAlloc_v2", size)
    libc.pthread_setcancelstate(disabled, None)
    return number


def linger() -> int:
    """A child that does nothing; its pid."""
    child = os.fork()
    if not child:
        os.closerange(0, 3)
        signal.pause()
    return child


def signals(pid: int) -> int:
    """Send SIGCONT for ever: this line has no answer."""
    print(os.getpid(), flush=True)
    while True:
        os.kill(pid, signal.SIGCONT)


def pairs(count: int, size: int) -> int:
    """Take and give so often; nanoseconds of all. In Python, whose own part is in there."""
    number = c_uint64()
    at, amount, one, other = byref(number), c_size_t(size), LIB.cuMemAlloc_v2, LIB.cuMemFree_v2
    begun = time.perf_counter_ns()
    for _ in range(count):
        one(at, amount)
        other(number)
    return time.perf_counter_ns() - begun


def info(which: int) -> int:
    """Of cuMemGetInfo: what is free, or what there is."""
    both = (c_size_t * 2)()
    code = function("cuMemGetInfo_v2")(byref(both), byref(both, ctypes.sizeof(c_size_t)))
    return -code if code else both[which]


def device() -> int:
    """What cuDeviceTotalMem tells."""
    size = c_size_t()
    code = function("cuDeviceTotalMem_v2")(byref(size), c_int(0))
    return -code if code else size.value


def churn(count: int, size: int) -> int:
    """Threads take and give so often; how many times one got it."""
    got: list[int] = []

    def turn() -> None:
        for _ in range(count):
            number = take("cuMemAlloc_v2", size)
            if number > 0:
                got.append(number)
                LIB.cuMemFree_v2(c_uint64(number))

    those = [threading.Thread(target=turn) for _ in range(4)]
    for one in those:
        one.start()
    for one in those:
        one.join()
    return len(got)


def many(count: int, size: int) -> int:
    """Take so often, and keep all; how many it got."""
    return sum(take("cuMemAlloc_v2", size) > 0 for _ in range(count))


def main() -> None:
    """Do as each line says."""
    assert LIB.cuInit(0) == SUCCESS
    for line in sys.stdin:
        what, *words = line.split()
        if what == "end":
            return
        if what == "take":
            answer = take(words[0], int(words[1]))
        elif what == "give":
            answer = -function(words[0])(c_uint64(int(words[1])), None)
        elif what == "map":
            number, size, at = (*map(int, words), int(words[0]))[:3]
            rest = (c_size_t(size), c_size_t(0), c_uint64(number), c_uint64(0))
            answer = -function("cuMemMap")(c_uint64(at + 8), *rest)
        elif what == "retain":
            answer = -function("cuMemRetainAllocationHandle")(
                byref(c_uint64()), c_uint64(int(words[0]) + 8)
            )
        elif what == "reset":
            answer = -LIB.cuDevicePrimaryCtxReset_v2(0)
        elif what == "unmap":
            number, size = (*map(int, words), 1)[:2]
            answer = -function("cuMemUnmap")(c_uint64(number + 8), c_size_t(size))
        else:
            doing: dict[str, Any] = {
                "threads": threads,
                "crowd": crowd,
                "fork": fork,
                "signals": signals,
                "pairs": pairs,
                "many": many,
                "churn": churn,
                "cancelled": cancelled,
                "linger": linger,
                "close": close,
                "free": lambda: info(0),
                "total": lambda: info(1),
                "device": device,
            }
            answer = doing[what](*map(int, words))
        print(f"error {-answer}" if answer < 0 else answer, flush=True)


if __name__ == "__main__":
    main()
