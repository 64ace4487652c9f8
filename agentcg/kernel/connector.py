"""The process connector's socket (Documentation/driver-api/connector.rst, linux/cn_proc.h).

Import it where needed only: pyroute2 takes 0.3 s. It is used for its numbers; its own socket class
brings an event loop, and would parse each fork and exec on the host into objects.
"""

import errno
import os
import secrets
import select
import socket
import struct
import time

from pyroute2.netlink import (  # type: ignore[import-untyped]
    NETLINK_CONNECTOR,
    NLMSG_DONE,
)
from pyroute2.netlink.connector.cn_proc import (  # type: ignore[import-untyped]
    CN_IDX_PROC,
    CN_VAL_PROC,
    PROC_CN_MCAST_LISTEN,
    PROC_EVENT_NONE,
)

from agentcg.errors import UnsupportedError

_NLMSG_HEADER = struct.Struct("=IHHII")
_CN_MSG = struct.Struct("=IIIIHH")
_WHAT_OFFSET = _NLMSG_HEADER.size + _CN_MSG.size
_DATA_OFFSET = _WHAT_OFFSET + 16  # what, cpu, timestamp
_ACK_SECONDS = 0.5


def subscribed(events: int) -> socket.socket:
    """Open a socket, not blocking, that is sent the kinds in `events`, or more of them.

    Raises:
        UnsupportedError: with the reason, where the connector cannot be reached.
    """
    try:
        made = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, NETLINK_CONNECTOR
        )
    except OSError as error:
        raise UnsupportedError(
            f"no process connector ({error.strerror}): it needs CONFIG_PROC_EVENTS"
        ) from error
    try:
        _subscribe(made, events)
    except BaseException:
        made.close()
        raise
    return made


def received(source: socket.socket) -> bytes | None:
    """The next message, None if there is none.

    Raises:
        OverflowError: some were lost, as nobody read them in time.
    """
    try:
        return source.recv(65536)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        raise OverflowError("the process connector's queue was full") from error


def what(data: bytes) -> int | None:
    """The kind of event in a message."""
    if len(data) < _WHAT_OFFSET + 4:
        return None
    kind: int = struct.unpack_from("=I", data, _WHAT_OFFSET)[0]
    return kind


def numbers(data: bytes, count: int) -> tuple[int, ...]:
    """The first 32-bit members of an event; none if the message is too short."""
    if len(data) < _DATA_OFFSET + 4 * count:
        return ()
    return struct.unpack_from(f"={count}I", data, _DATA_OFFSET)


def _subscribe(made: socket.socket, events: int) -> None:
    try:
        made.bind((0, CN_IDX_PROC))
        number = secrets.randbits(31)
        made.send(_control(struct.pack("=I", PROC_CN_MCAST_LISTEN), number))
        acknowledged = await_ack(made, number)
        # Since 6.6 (743acf351bae) a listener may name the events it wants; before, the longer
        # message is ignored and all keep coming.
        made.send(_control(struct.pack("=II", PROC_CN_MCAST_LISTEN, events)))
    except OSError as error:
        raise UnsupportedError(
            f"process connector refused ({error.strerror}): CAP_NET_ADMIN on the host is needed"
        ) from error
    if not acknowledged:
        raise UnsupportedError(
            "the process connector does not answer: it serves the initial user and pid "
            "namespaces only, run agentcgd on the host"
        )


def await_ack(made: socket.socket, number: int) -> bool:
    """Whether a NONE event answers the message of this number.

    Another event proves nothing: in a pid namespace the kernel ignores the message, and what
    others on the host subscribed to arrives all the same, with numbers that are not ours.
    """
    poll = select.poll()
    poll.register(made, select.POLLIN)
    deadline = time.monotonic() + _ACK_SECONDS
    while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        data = made.recv(65536)
        if what(data) == PROC_EVENT_NONE and _answered(data) == number:
            return True
    return False


def _answered(data: bytes) -> int:
    """The `ack` that a message answers: the kernel counts it up, and sets `seq` anew."""
    _, _, _, ack, _, _ = _CN_MSG.unpack_from(data, _NLMSG_HEADER.size)
    return int(ack) - 1


def _control(payload: bytes, number: int = 0) -> bytes:
    body = _CN_MSG.pack(CN_IDX_PROC, CN_VAL_PROC, 0, number, len(payload), 0) + payload
    size = _NLMSG_HEADER.size + len(body)
    return _NLMSG_HEADER.pack(size, NLMSG_DONE, 0, 0, os.getpid()) + body
