"""A small file of a cgroup kept open, so that reading it again costs one system call."""

import errno
import os
from pathlib import Path
from typing import Self

from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.kernel.cgroupfs import CgroupDir, Descriptor

# More than any file with one number or cpu.stat; larger files are CgroupDir.read's.
_MOST = 4096


class CgroupFile:
    """An open file. Threads may share it: it is closed with its last reference."""

    def __init__(self, fd: int, path: Path) -> None:
        """Take over `fd`; use `open` instead."""
        self._held = Descriptor(fd)
        self.path = path

    @classmethod
    def open(cls, cgroup: CgroupDir, knob: str, *, writable: bool = False) -> Self:
        """Open `knob`; CgroupError or a subclass if that cannot be."""
        return cls(cgroup.fd_of(knob, os.O_RDWR if writable else os.O_RDONLY), cgroup.path / knob)

    def read(self) -> bytes:
        """The file as it is now: reading from its beginning makes the kernel write it anew."""
        try:
            return os.pread(self._held.fd, _MOST, 0)
        except OSError as error:
            raise self._failed(error, None) from error

    def write(self, value: str) -> None:
        """Write `value` in one system call."""
        try:
            os.pwrite(self._held.fd, value.encode(), 0)
        except OSError as error:
            raise self._failed(error, value) from error

    def _failed(self, error: OSError, value: str | None) -> CgroupError:
        kind = CgroupGoneError if error.errno == errno.ENODEV else CgroupError
        return kind(self.path, value, error.strerror, error.errno)
