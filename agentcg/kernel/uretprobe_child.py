"""The child of probe_uretprobe.py: call a function with a filter that kills on one system call.

Run by its path, with the function's file (a descriptor) and the system call's number: it needs
nothing but Python.
"""

import ctypes
import mmap
import os
import signal
import struct
import sys

_LONGEST = 20  # seconds that it lives, whatever becomes of who waits for it
_SET_DUMPABLE, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 4, 22, 38  # of prctl(2)
_MODE_FILTER = 2
_KILL_PROCESS, _ALLOW = 0x80000000, 0x7FFF0000


def main(fd: int, kills: int) -> None:
    """End with 0 after the call, or by the filter."""
    signal.alarm(_LONGEST)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    arguments = (mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, fd, 0)
    at = libc.mmap(None, *arguments)
    if at == ctypes.c_void_p(-1).value:
        _fail("mmap")
    function = ctypes.CFUNCTYPE(ctypes.c_int)(at)
    # seccomp(2): load the number; is it the one, kill.
    steps = ((0x20, 0, 0, 0), (0x15, 0, 1, kills), (6, 0, 0, _KILL_PROCESS), (6, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in steps))
    program = struct.pack("HP", len(steps), ctypes.addressof(code))
    for words in (
        (_SET_DUMPABLE, 0, 0, 0, 0),  # its death leaves no core
        (_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_SET_SECCOMP, _MODE_FILTER, program, 0, 0),
    ):
        if libc.prctl(*words):
            _fail(f"prctl({words[0]})")
    function()
    os._exit(0)


def _fail(what: str) -> None:
    sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")


main(int(sys.argv[1]), int(sys.argv[2]))
