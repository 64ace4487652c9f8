"""Exit statuses by the process connector.

For kernels without PIDFD_INFO_EXIT (before 6.15). Import it where needed only: it takes 0.3 s.
"""

import asyncio
from typing import Self

from pyroute2.netlink.connector.cn_proc import PROC_EVENT_EXIT  # type: ignore[import-untyped]

from agentcg.kernel import connector


class ExitEvents:
    """Remembers the wait status of each watched process that exits; a context manager.

    The kernel queues an exit's message before the process's pidfd becomes readable: so await the
    pidfd, then `take`. A full queue loses messages (`lost` counts how often); those stay unknown.
    """

    def __init__(self) -> None:
        """Subscribe; UnsupportedError with the reason where the connector cannot be reached."""
        self._watched: set[int] = set()
        self._statuses: dict[int, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lost = 0
        self._socket = connector.subscribed(PROC_EVENT_EXIT)

    def watch(self, pid: int) -> None:
        """Remember the exit of `pid`; one that came before this call is not seen.

        Reading goes on in the running loop, whose thread alone may use this object.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket.fileno(), self._read)
        self._read()
        self._statuses.pop(pid, None)
        self._watched.add(pid)

    def take(self, pid: int) -> int | None:
        """Return the wait status of `pid` and forget it; None if it lives or was missed."""
        self._read()
        self._watched.discard(pid)
        return self._statuses.pop(pid, None)

    def close(self) -> None:
        """Unsubscribe. Harmless when repeated."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
        self._loop = None
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        while True:
            try:
                data = connector.received(self._socket)
            except OverflowError:
                self.lost += 1
                continue
            if data is None:
                return
            if connector.what(data) == PROC_EVENT_EXIT and (found := connector.numbers(data, 3)):
                self._exited(*found)

    def _exited(self, pid: int, tgid: int, code: int) -> None:
        # Each thread's exit is reported; the process's own has its first thread's number.
        if pid in self._watched and pid == tgid:
            self._watched.discard(pid)
            self._statuses[pid] = code


def check() -> None:
    """Try it once; UnsupportedError with the reason if it does not work."""
    ExitEvents().close()
