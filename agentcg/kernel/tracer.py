"""What one cgroup does right now: the reading end of bpf/tracer.bpf.c, which says how it works.

Nothing is pinned: who asked and is gone, however it ended, traces no more.
"""

import select
import shlex
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Self

from agentcg import native
from agentcg.kernel.bpf_link import Link
from agentcg.kernel.bpf_map import RingBuffer
from agentcg.kernel.bpf_object import Object, shipped
from agentcg.kernel.bpf_records import (
    SECOND,
    TRACED_BLOCKIO,
    TRACED_CONNECT,
    TRACED_EXEC,
    TRACED_OPEN,
    SyscallCount,
    TracedRecord,
)
from agentcg.model.process import words_of
from agentcg.model.traced import Question, SyscallStats, Traced

_CALLS = ("call_enter", "call_exit")
_PROGRAMS: Mapping[Question, tuple[str, ...]] = {
    Question.EXEC: ("exec_done",),
    Question.OPEN: _CALLS,
    Question.CONNECT: _CALLS,
    Question.OOM: ("oom_victim",),
    Question.BLOCKIO: ("request_issue", "request_complete"),
    Question.SYSCALLS: _CALLS,
}
_WANTED = {Question.OPEN: TRACED_OPEN, Question.CONNECT: TRACED_CONNECT}
_NUMBERS = ("open", "openat", "openat2", "connect")
# enum req_op of include/linux/blk_types.h
_OPERATIONS = {
    0: "read",
    1: "write",
    2: "flush",
    3: "discard",
    5: "secure-erase",
    9: "write-zeroes",
}


class Tracer:
    """Hands over what the cgroup, and those below it, do. A context manager."""

    def __init__(self, question: Question, inside: int, take: Callable[[Traced], None]) -> None:
        """Begin. `inside` is the id of the cgroup; `take` runs inside `wait`.

        Raises:
            BpfError: with libbpf's, or the verifier's, reason.
            UnavailableError: libbpf is not here, or the object was not built.
        """
        self._take = take
        self._names = native.syscalls()
        self._links: list[Link] = []
        with Object.open(shipped("tracer")) as one:
            programs = one.programs()
            for program in programs.values():
                program.autoload(on=program.name in _PROGRAMS[question])
            one.set("inside", inside.to_bytes(8, "little"))
            one.set("wanted", _WANTED.get(question, 0).to_bytes(4, "little"))
            numbers = {name: number for number, name in self._names.items()}
            for name in _NUMBERS:
                one.set(f"{name}_number", struct.pack("=i", numbers.get(name, -1)))
            one.load()
            self._lost = one.map("lost")
            self._counts = one.map("syscall_counts")
            with one.map("traced_events") as events:
                self._ring = RingBuffer(events, self._heard)
            try:
                for name in _PROGRAMS[question]:
                    self._links.append(programs[name].attach())
            except BaseException:
                self.close()
                raise

    def wait(self, seconds: float) -> None:
        """Hand over what comes, and return when something has come, at the latest after so long."""
        if select.select([self._ring.fd], [], [], seconds)[0]:
            self._ring.consume()

    @property
    def lost(self) -> int:
        """Things that found no room on the way, so far."""
        return int.from_bytes(self._lost.lookup(bytes(4)) or b"", "little")

    def counts(self) -> list[SyscallStats]:
        """System calls so far, those first in which most time was spent."""
        found, keys = [], self._counts.keys()
        for key in keys:
            raw = self._counts.lookup(key)
            if raw is not None:
                one = SyscallCount.from_buffer_copy(raw)
                number = int.from_bytes(key, "little")
                name = self._names.get(number, f"number {number}")
                found.append(SyscallStats(name, one.calls, one.errors, one.took / SECOND))
        return sorted(found, key=lambda one: one.took, reverse=True)

    def close(self) -> None:
        """Trace no more."""
        for link in self._links:
            link.close()
        self._links.clear()
        self._ring.close()
        self._lost.close()
        self._counts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _heard(self, raw: bytes) -> None:
        record = TracedRecord.from_buffer_copy(raw)
        begin = TracedRecord.text.offset
        text = raw[begin : begin + record.size]
        self._take(
            Traced(
                record.at / SECOND,
                record.cgroup,
                record.pid,
                record.comm.decode("utf-8", "backslashreplace"),
                _READ.get(record.what, _plain)(text),
                record.result,
                record.took / SECOND,
                record.bytes,
            )
        )


def _plain(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _request(raw: bytes) -> str:
    """An operation, then the disk's name."""
    if not raw:
        return "?"
    disk = raw[1:].partition(b"\0")[0]
    return f"{_OPERATIONS.get(raw[0], f'operation {raw[0]}')} {_plain(disk)}"


def address(raw: bytes) -> str:
    """A socket's address as the system call has it (struct sockaddr), for people."""
    if len(raw) < 2:
        return "no address"
    family = int.from_bytes(raw[:2], "little")
    if family == socket.AF_INET and len(raw) >= 8:
        return f"{socket.inet_ntop(socket.AF_INET, raw[4:8])}:{int.from_bytes(raw[2:4], 'big')}"
    if family == socket.AF_INET6 and len(raw) >= 24:
        return f"[{socket.inet_ntop(socket.AF_INET6, raw[8:24])}]:{int.from_bytes(raw[2:4], 'big')}"
    if family == socket.AF_UNIX:
        path = raw[2:]
        if path.startswith(b"\0"):
            return f"unix:@{_plain(path[1:])}"
        return f"unix:{_plain(path.partition(bytes(1))[0])}"
    return f"family {family}"


_READ: Mapping[int, Callable[[bytes], str]] = {
    TRACED_EXEC: lambda raw: shlex.join(words_of(raw)),
    TRACED_CONNECT: address,
    TRACED_BLOCKIO: _request,
}
