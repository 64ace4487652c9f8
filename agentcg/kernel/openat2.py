"""openat2(2), which Python does not wrap: opens that cannot leave a directory."""

import ctypes
import errno
import os

from agentcg.errors import BadValueError

# The number is the same on every architecture but alpha (unified since 5.x's common table).
_SYS_OPENAT2 = 437

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
_CONFINED = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_beneath(dir_fd: int, name: str, flags: int) -> int:
    """Open `name` below the directory `dir_fd`, following no links; O_CLOEXEC is added.

    Raises OSError: EXDEV for a path that escapes, ELOOP for any symbolic link on the way.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _CONFINED)
    while True:
        fd: int = _syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(dir_fd),
            ctypes.c_char_p(os.fsencode(name)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        # EAGAIN: a rename elsewhere raced with the walk (only with RESOLVE_BENEATH); just repeat.
        if code not in {errno.EAGAIN, errno.EINTR}:
            raise OSError(code, os.strerror(code), name)


def valid_name(name: str) -> str:
    """Return `name` if it is one path component that names something below; else BadValueError."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name or len(name) > 255:
        raise BadValueError(f"{name[:80]!r} is not a cgroup or file name: use one path component")
    return name
