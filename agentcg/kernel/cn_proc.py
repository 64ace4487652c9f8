"""Exit statuses by the process connector (Documentation/driver-api/connector.rst, linux/cn_proc.h).

For kernels without PIDFD_INFO_EXIT (before 6.15). Import it where needed only: it takes 0.3 s.
"""

import asyncio
import errno
import os
import secrets
import select
import socket
import struct
import time
from typing import Self

from pyroute2.netlink import (  # type: ignore[import-untyped]
    NETLINK_CONNECTOR,
    NLMSG_DONE,
)
from pyroute2.netlink.connector.cn_proc import (  # type: ignore[import-untyped]
    CN_IDX_PROC,
    CN_VAL_PROC,
    PROC_CN_MCAST_LISTEN,
    PROC_EVENT_EXIT,
    PROC_EVENT_NONE,
    proc_event_exit,
)

from agentcg.errors import UnsupportedError

_NLMSG_HEADER = struct.Struct("=IHHII")
_CN_MSG = struct.Struct("=IIIIHH")
_WHAT_OFFSET = _NLMSG_HEADER.size + _CN_MSG.size
_ACK_SECONDS = 0.5


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
        # Not pyroute2's own socket class: it brings its own event loop, and it would parse each
        # fork and exec on the host in Python.
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, NETLINK_CONNECTOR
            )
        except OSError as error:
            raise UnsupportedError(
                f"no process connector ({error.strerror}): it needs CONFIG_PROC_EVENTS"
            ) from error
        try:
            self._subscribe()
        except BaseException:
            self._socket.close()
            raise

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

    def _subscribe(self) -> None:
        try:
            self._socket.bind((0, CN_IDX_PROC))
            number = secrets.randbits(31)
            self._socket.send(_control(struct.pack("=I", PROC_CN_MCAST_LISTEN), number))
            acknowledged = self._await_ack(number)
            # Since 6.6 (743acf351bae) a listener may name the events it wants; before, the longer
            # message is ignored and forks and execs keep coming.
            self._socket.send(_control(struct.pack("=II", PROC_CN_MCAST_LISTEN, PROC_EVENT_EXIT)))
        except OSError as error:
            raise UnsupportedError(
                f"process connector refused ({error.strerror}): CAP_NET_ADMIN on the host is needed"
            ) from error
        if not acknowledged:
            raise UnsupportedError(
                "the process connector does not answer: it serves the initial user and pid "
                "namespaces only, run agentcgd on the host"
            )

    def _await_ack(self, number: int) -> bool:
        """Whether a NONE event answers the message of this number.

        Another event proves nothing: in a pid namespace the kernel ignores the message, and what
        others on the host subscribed to arrives all the same, with numbers that are not ours.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        deadline = time.monotonic() + _ACK_SECONDS
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            data = self._socket.recv(65536)
            if _what(data) == PROC_EVENT_NONE and _answered(data) == number:
                return True
        return False

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost += 1
                continue
            if _what(data) == PROC_EVENT_EXIT:
                self._exited(data)

    def _exited(self, data: bytes) -> None:
        event = proc_event_exit(data)
        event.decode()
        # Each thread's exit is reported; the process's own has its first thread's number.
        pid = event["process_pid"]
        if pid in self._watched and pid == event["process_tgid"]:
            self._watched.discard(pid)
            self._statuses[pid] = event["exit_code"]


def check() -> None:
    """Try it once; UnsupportedError with the reason if it does not work."""
    ExitEvents().close()


def _what(data: bytes) -> int | None:
    if len(data) < _WHAT_OFFSET + 4:
        return None
    what: int = struct.unpack_from("=I", data, _WHAT_OFFSET)[0]
    return what


def _answered(data: bytes) -> int:
    """The `ack` that a message answers: the kernel counts it up, and sets `seq` anew."""
    _, _, _, ack, _, _ = _CN_MSG.unpack_from(data, _NLMSG_HEADER.size)
    return int(ack) - 1


def _control(payload: bytes, number: int = 0) -> bytes:
    body = _CN_MSG.pack(CN_IDX_PROC, CN_VAL_PROC, 0, number, len(payload), 0) + payload
    size = _NLMSG_HEADER.size + len(body)
    return _NLMSG_HEADER.pack(size, NLMSG_DONE, 0, 0, os.getpid()) + body
