"""statfs(2): which kind of file system a descriptor is on (include/uapi/linux/magic.h)."""

import ctypes
import os

CGROUP2_SUPER_MAGIC = 0x63677270

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)


def filesystem_type(fd: int) -> int:
    """Return the magic number of the file system that `fd` (O_PATH will do) lies on."""
    # struct statfs begins with f_type, a long on all our 64-bit architectures; 256 bytes hold all.
    buffer = (ctypes.c_long * 32)()
    if _libc.fstatfs(fd, buffer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(buffer[0])
