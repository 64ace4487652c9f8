"""One cgroup v2 directory, held by a descriptor (Documentation/admin-guide/cgroup-v2.rst).

A descriptor, not a path: a cgroup removed and made again under the same name is another one.
"""

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from agentcg.errors import (
    BadValueError,
    CgroupError,
    CgroupGoneError,
    KnobMissingError,
    ProcessGoneError,
)
from agentcg.kernel import parse
from agentcg.kernel.openat2 import open_beneath, valid_name
from agentcg.kernel.statfs import CGROUP2_SUPER_MAGIC, filesystem_type

_DIR = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Descriptor:
    """A descriptor that is closed with its last reference.

    So a close() while another thread is between looking it up and using it waits for that
    thread: else the number could be another cgroup's by the time of the system call.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class CgroupDir:
    """A handle on one cgroup; a context manager. All failures are CgroupError or a subclass.

    `path` is for messages only and may be out of date. Calls block: `move` for up to 15 ms (an RCU
    grace period), lowering a memory limit for as long as reclaim takes; keep both off the loop.
    """

    def __init__(self, fd: int, path: Path) -> None:
        """Take over `fd`; use `open`, `child` or `make` instead."""
        self._held: Descriptor | None = Descriptor(fd)
        self.path = path
        self._id = os.fstat(fd).st_ino

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a trusted path, normally the root of the tree; links in it are followed."""
        try:
            return cls(os.open(path, _DIR), path)
        except OSError as error:
            raise _wrapped(error, path, gone=error.errno == errno.ENOENT) from error

    def child(self, name: str) -> Self:
        """Open the existing child `name`; CgroupGoneError if there is none."""
        return self.open_path(valid_name(name))

    def open_path(self, relative: str) -> Self:
        """Open a descendant such as "a/b/c", confined to this cgroup; "" is this one again."""
        parts = [valid_name(part) for part in relative.split("/")] if relative else ["."]
        here = self._lend()
        try:
            fd = open_beneath(here.fd, "/".join(parts), _DIR)
        except OSError as error:
            raise _wrapped(error, self.path / relative, gone=error.errno == errno.ENOENT) from error
        return type(self)(fd, self.path / relative)

    def make(self, name: str, *, exist_ok: bool = False) -> Self:
        """Create the child `name` and open it; CgroupError with EEXIST if it is there already."""
        here = self._lend()
        try:
            os.mkdir(valid_name(name), 0o755, dir_fd=here.fd)
        except OSError as error:
            if not (exist_ok and error.errno == errno.EEXIST):
                gone = error.errno in {errno.ENOENT, errno.ENODEV}
                raise _wrapped(error, self.path / name, gone=gone) from error
        return self.child(name)

    def remove_child(self, name: str) -> None:
        """Remove the child `name`; CgroupError with EBUSY while it has processes or children."""
        here = self._lend()
        try:
            os.rmdir(valid_name(name), dir_fd=here.fd)
        except OSError as error:
            gone = error.errno in {errno.ENOENT, errno.ENODEV}
            raise _wrapped(error, self.path / name, gone=gone) from error

    def children(self) -> list[str]:
        """Names of the child cgroups, sorted."""
        here = self._lend()
        try:
            # A descriptor of its own: two threads that list through one would share its position.
            fd = open_beneath(here.fd, ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                with os.scandir(fd) as entries:
                    names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
            finally:
                os.close(fd)
        except OSError as error:
            raise _wrapped(error, self.path, gone=error.errno == errno.ENOENT) from error
        # A removed cgroup lists as empty, without an error.
        if not names and not self.exists():
            raise CgroupGoneError(self.path, None, None, errno.ENOENT)
        return names

    def read(self, knob: str) -> str:
        """Return the whole text of a file.

        Without it CgroupGoneError if the cgroup itself is gone, else KnobMissingError.
        """
        fd = self.fd_of(knob, os.O_RDONLY)
        chunks = []
        try:
            while chunk := os.read(fd, 65536):
                chunks.append(chunk)
        except OSError as error:
            raise self._failed(error, knob, None) from error
        finally:
            os.close(fd)
        # Names of devices and of hostile cgroups need not be UTF-8.
        return b"".join(chunks).decode("utf-8", "surrogateescape")

    def write(self, knob: str, value: str | int) -> None:
        """Write `value` in one system call; the error carries path, value and errno."""
        text = str(value)
        # O_TRUNC means nothing to cgroupfs and keeps a plain file from having leftovers.
        fd = self.fd_of(knob, os.O_WRONLY | os.O_TRUNC, value=text)
        try:
            os.write(fd, text.encode())
        except OSError as error:
            raise self._failed(error, knob, text) from error
        finally:
            os.close(fd)

    def read_int(self, knob: str) -> int | None:
        """Return a single-value file as an integer; None for "max"."""
        return parse.number(self.read(knob))

    def read_keyed(self, knob: str) -> dict[str, int]:
        """Return a flat-keyed file such as memory.events."""
        return parse.flat_keyed(self.read(knob))

    def pids(self) -> list[int]:
        """Return the processes in this cgroup itself; 0 is one outside this pid namespace."""
        return [int(pid) for pid in self.read("cgroup.procs").split()]

    def move(self, pid: int) -> None:
        """Move a process here with all its threads; ProcessGoneError if there is none.

        A zombie counts as moved without an error, so ask its pidfd afterwards.
        """
        # The kernel takes 0 for the writer: a mistake would move the daemon itself.
        if pid <= 0:
            raise BadValueError(f"{pid} is not a process id: name a positive one")
        try:
            self.write("cgroup.procs", pid)
        except CgroupError as error:
            if error.errno == errno.ESRCH:
                raise ProcessGoneError(pid) from error
            raise

    def populated(self) -> bool:
        """Whether a live process is here or below."""
        return self.read_keyed("cgroup.events").get("populated") == 1

    def kill(self) -> None:
        """SIGKILL everything here and below, frozen or not; returns before they are dead."""
        self.write("cgroup.kill", 1)

    def freeze(self, *, frozen: bool = True) -> None:
        """Ask to stop, or let run, all here and below; `frozen` in cgroup.events tells when."""
        self.write("cgroup.freeze", int(frozen))

    def controllers(self) -> frozenset[str]:
        """Return the controllers that this cgroup may enable for its children."""
        return frozenset(self.read("cgroup.controllers").split())

    def subtree_control(self) -> frozenset[str]:
        """Return the controllers enabled for the children."""
        return frozenset(self.read("cgroup.subtree_control").split())

    def enable(self, wanted: Iterable[str]) -> frozenset[str]:
        """Enable those of `wanted` that are available for the children; returns those now enabled.

        A refused one is left out; `enable_one` tells why.
        """
        available = self.controllers()
        enabled = set(self.subtree_control())
        asked = frozenset(wanted)
        for name in sorted((asked & available) - enabled):
            # One write each: the kernel applies a write whole or not at all, so one refusal
            # (cpu with RT tasks, a controller bound to v1) would void the others.
            try:
                self.enable_one(name)
            except CgroupGoneError:
                raise
            except CgroupError:
                continue
            enabled.add(name)
        return asked & enabled

    def enable_one(self, name: str) -> None:
        """Enable a controller for the children: EBUSY with processes here, ENOENT if absent."""
        self.write("cgroup.subtree_control", f"+{name}")

    def fd_of(self, knob: str, flags: int, *, value: str | None = None) -> int:
        """Open a file of this cgroup; the caller closes the descriptor (O_CLOEXEC is set)."""
        here = self._lend()
        # One component that is not ".." stays here unless it is a link: openat2 would add nothing,
        # and by ctypes a fifth to what reading a call costs.
        try:
            return os.open(valid_name(knob), flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here.fd)
        except OSError as error:
            if error.errno == errno.ENOENT and self.exists():
                path = self.path / knob
                raise KnobMissingError(path, value, "no such file", errno.ENOENT) from error
            raise self._failed(error, knob, value) from error

    def exists(self) -> bool:
        """Whether this very cgroup has not been removed."""
        here = self._held
        if here is None:
            return False
        try:
            # On cgroupfs st_nlink stays 2 after rmdir, and every name gives ENOENT, so ask for a
            # file that each living cgroup has.
            os.close(open_beneath(here.fd, "cgroup.procs", os.O_PATH))
        except OSError:
            # A plain directory (a test's fake tree) may lack the file, but its link count tells.
            return (
                filesystem_type(here.fd) != CGROUP2_SUPER_MAGIC and os.fstat(here.fd).st_nlink > 0
            )
        return True

    @property
    def id(self) -> int:
        """Return the cgroup id: the inode number, as BPF and PIDFD_GET_INFO report it."""
        return self._id

    def fileno(self) -> int:
        """Return the directory descriptor (O_PATH), for /proc/self/fd/N paths; it stays ours."""
        return self._lend().fd

    def close(self) -> None:
        """Close the descriptor; the cgroup stays. Harmless when repeated."""
        self._held = None

    def _lend(self) -> "Descriptor":
        """Return the descriptor for the time of one call, as a local of the caller."""
        held = self._held
        if held is None:
            raise CgroupGoneError(self.path, None, "its handle is closed")
        return held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _failed(self, error: OSError, knob: str, value: str | None) -> CgroupError:
        # ENODEV: the file was opened before the removal. But io.max gives it for an unknown device
        # and subtree_control ENOENT for an unknown controller, so ask before calling it gone.
        gone = error.errno in {errno.ENOENT, errno.ENODEV} and not self.exists()
        if value is None and error.errno == errno.ENODEV and not gone:
            # rmdir takes a cgroup's controllers away before the cgroup.* files.
            return KnobMissingError(self.path / knob, None, error.strerror, error.errno)
        return _wrapped(error, self.path / knob, value, gone=gone)


def _wrapped(error: OSError, path: Path, value: str | None = None, *, gone: bool) -> CgroupError:
    kind = CgroupGoneError if gone else CgroupError
    return kind(path, value, error.strerror, error.errno)
