"""Decoding of process connector messages, as a 6.18 kernel prints them."""

import socket
import struct

import pytest

from agentcg.errors import UnsupportedError
from agentcg.kernel import cn_proc, connector


def exit_message(pid: int, tgid: int, status: int) -> bytes:
    event = struct.pack("=IIQ6I", 0x80000000, 0, 1, pid, tgid, status, 17, 1, 1)
    connector = struct.pack("=IIIIHH", 1, 1, 0, 0, len(event), 0)
    body = connector + event
    return struct.pack("=IHHII", 16 + len(body), 3, 0, 0, 0) + body


def answer(number: int) -> bytes:
    event = struct.pack("=IIQI20x", 0, 0, 1, 0)
    body = struct.pack("=IIIIHH", 1, 1, 4711, number + 1, len(event), 0) + event
    return struct.pack("=IHHII", 16 + len(body), 3, 0, 0, 0) + body


class Queue:
    """A netlink socket with messages in it."""

    def __init__(self, *items: bytes | OSError) -> None:
        self.items = list(items)

    def recv(self, _size: int) -> bytes:
        if not self.items:
            raise BlockingIOError
        item = self.items.pop(0)
        if isinstance(item, OSError):
            raise item
        return item


def reader(*items: bytes | OSError) -> cn_proc.ExitEvents:
    events = cn_proc.ExitEvents.__new__(cn_proc.ExitEvents)
    events._watched, events._statuses, events.lost = {10, 11}, {}, 0
    events._socket = Queue(*items)  # type: ignore[assignment]
    return events


def test_takes_only_watched_leaders() -> None:
    events = reader(
        exit_message(99, 99, 1 << 8),
        exit_message(12, 10, 9),
        exit_message(10, 10, 7 << 8),
        b"short",
    )
    assert events.take(10) == 7 << 8
    assert events.take(10) is None
    assert events.take(99) is None
    assert events.take(11) is None


def test_counts_overruns() -> None:
    events = reader(OSError(105, "No buffer space available"), exit_message(10, 10, 0))
    assert events.take(10) == 0
    assert events.lost == 1


def test_only_the_answer_to_our_own_message_proves_a_subscription(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(connector, "_ACK_SECONDS", 0.05)
    with ours, theirs:
        # What others subscribed to arrives in every namespace.
        theirs.send(exit_message(99, 99, 0))
        theirs.send(answer(6))
        assert not connector.await_ack(ours, 7)
        theirs.send(answer(7))
        assert connector.await_ack(ours, 7)


def test_no_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(UnsupportedError, match="CONFIG_PROC_EVENTS"):
        cn_proc.check()
