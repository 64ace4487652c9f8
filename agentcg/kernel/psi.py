"""PSI triggers: being told of stalls without polling (Documentation/accounting/psi.rst)."""

import asyncio
import errno
import os
import select
from pathlib import Path
from typing import Literal, Self

from agentcg.errors import BadValueError, CgroupError, UnsupportedError
from agentcg.kernel.cgroupfs import CgroupDir

_UNPRIVILEGED_WINDOW = 2_000_000


class Trigger:
    """Yields each time that stalls passed the threshold; ends when the cgroup goes away.

    At most one event a window. A context manager. Each cgroup with a trigger whose window is not a
    multiple of 2 s costs a real-time kernel thread.
    """

    def __init__(self, fd: int, path: Path, spec: str) -> None:
        """Take over `fd`, an open pressure file; use `on` or `on_host` instead."""
        self._fd = fd
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fired = asyncio.Event()
        self._ended = False
        try:
            os.write(fd, spec.encode() + b"\0")
            # asyncio watches for readability only, and a pressure file is always readable; the
            # epoll descriptor becomes readable for what we really want.
            self._epoll = select.epoll()
            self._epoll.register(fd, select.EPOLLPRI)
        except OSError as error:
            self.close()
            raise _refused(error, path, spec) from error

    @classmethod
    def on(
        cls,
        cgroup: CgroupDir,
        knob: str,
        *,
        kind: Literal["some", "full"] = "some",
        stall_us: int,
        window_us: int,
    ) -> Self:
        """Watch "memory.pressure" and the like of a cgroup: `stall_us` (µs) in each `window_us`.

        UnsupportedError for a window that is no multiple of 2 s without CAP_SYS_RESOURCE.
        """
        spec = _spec(kind, stall_us, window_us)
        return cls(cgroup.fd_of(knob, os.O_RDWR | os.O_NONBLOCK), cgroup.path / knob, spec)

    @classmethod
    def on_host(
        cls,
        resource: Literal["cpu", "memory", "io"],
        *,
        kind: Literal["some", "full"] = "some",
        stall_us: int,
        window_us: int,
        pressure: Path = Path("/proc/pressure"),
    ) -> Self:
        """Watch the whole host's pressure; the same as `on` otherwise."""
        path = pressure / resource
        spec = _spec(kind, stall_us, window_us)
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise UnsupportedError(
                f"{path}: {error.strerror}; boot a kernel with CONFIG_PSI, with psi=1"
            ) from error
        return cls(fd, path, spec)

    def __aiter__(self) -> Self:
        """Iterate over the events; one consumer at a time."""
        return self

    async def __anext__(self) -> None:
        """Wait for the next event."""
        if self._loop is None and not self._ended and self._epoll is not None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._epoll.fileno(), self._ready)
        if not self._ended:
            await self._fired.wait()
        if self._ended:
            raise StopAsyncIteration
        self._fired.clear()

    def close(self) -> None:
        """Disarm; a waiting iteration ends. Harmless when repeated."""
        self._end()
        if self._epoll is not None:
            self._epoll.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self) -> None:
        events = self._epoll.poll(0) if self._epoll is not None else []
        # Removal of the cgroup gives EPOLLERR for good.
        if any(mask & (select.EPOLLERR | select.EPOLLHUP) for _, mask in events):
            self._end()
            return
        # Not asking for EPOLLPRI here: polling a trigger consumes its event, and the loop's own
        # epoll has just polled through ours, so that the list is usually empty.
        self._fired.set()

    def _end(self) -> None:
        self._ended = True
        if self._loop is not None and self._epoll is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._epoll.fileno())
        self._loop = None
        self._fired.set()


def _spec(kind: str, stall_us: int, window_us: int) -> str:
    if not 0 < stall_us <= window_us or not 500_000 <= window_us <= 10_000_000:
        raise BadValueError(
            f"{stall_us} µs within {window_us} µs is not a PSI trigger: "
            "the window must lie between 0.5 and 10 s and hold the stall"
        )
    return f"{kind} {stall_us} {window_us}"


def _refused(error: OSError, path: Path, spec: str) -> CgroupError | UnsupportedError:
    # Since Linux 6.5 (d82caa273565) anyone may have windows that are multiples of 2 s, which the
    # ordinary averaging serves; others need CAP_SYS_RESOURCE for their real-time thread.
    if error.errno in {errno.EINVAL, errno.EPERM} and int(spec.split()[2]) % _UNPRIVILEGED_WINDOW:
        return UnsupportedError(
            f"{path}: trigger {spec!r} refused: give the daemon CAP_SYS_RESOURCE, "
            "or use a window that is a multiple of 2 s"
        )
    if error.errno == errno.EOPNOTSUPP:
        return UnsupportedError(f"{path}: PSI is off; boot with psi=1")
    return CgroupError(path, spec, error.strerror, error.errno)
