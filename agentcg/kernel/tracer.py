"""What one cgroup does right now: the reading end of bpf/tracer.bpf.c, which says how it works.

Nothing is pinned: who asked and is gone, however it ended, traces no more.
"""

import contextlib
import ctypes
import errno
import select
import shlex
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Self

from agentcg import native
from agentcg.errors import BpfError, DeniedError
from agentcg.kernel import probe_bpf
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
_NUMBERS = ("open", "creat", "openat", "openat2", "connect", "rt_sigreturn")
_OTHERS = 512  # the last number that is counted stands for all others
_CUT = "…"
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
            DeniedError: the kernel allows it to root with these capabilities only.
            BpfError: with libbpf's, or the verifier's, reason.
            UnavailableError, UnsupportedError: libbpf, or what is built with the package, lacks.
        """
        self._take = take
        self._names = native.syscalls()
        with contextlib.ExitStack() as stack:
            one = stack.enter_context(Object.open(shipped("tracer")))
            programs = one.programs()
            for program in programs.values():
                program.autoload(on=program.name in _PROGRAMS[question])
            one.set("inside", inside.to_bytes(8, "little"))
            one.set("wanted", _WANTED.get(question, 0).to_bytes(4, "little"))
            numbers = {name: number for number, name in self._names.items()}
            for name in _NUMBERS:
                one.set(f"{name}_number", struct.pack("=i", numbers.get(name, -1)))
            try:
                one.load()
            except BpfError as error:
                if error.errno != errno.EPERM:
                    raise
                raise DeniedError(probe_bpf.in_words(error)) from error
            self._lost = stack.enter_context(one.map("lost"))
            self._counts = stack.enter_context(one.map("syscall_counts"))
            with one.map("traced_events") as events:
                self._ring = stack.enter_context(RingBuffer(events, self._heard))
            for name in _PROGRAMS[question]:
                stack.callback(programs[name].attach().close)
            self._open = stack.pop_all()

    def wait(self, seconds: float) -> None:
        """Hand over what comes within that time, however much; return early when it is all."""
        if select.select([self._ring.fd], [], [], seconds)[0]:
            self._ring.turn(seconds)

    @property
    def lost(self) -> int:
        """Things that found no room on the way, so far."""
        return int.from_bytes(self._lost.lookup(bytes(4)) or b"", "little")

    def counts(self) -> list[SyscallStats]:
        """System calls so far, those first in which most time was spent."""
        found = []
        for number in range(_OTHERS + 1):
            raw = self._counts.lookup(number.to_bytes(4, "little"))
            one = SyscallCount.from_buffer_copy(raw or bytes(ctypes.sizeof(SyscallCount)))
            if one.calls:
                name = (
                    "others" if number == _OTHERS else self._names.get(number, f"number {number}")
                )
                found.append(SyscallStats(name, one.calls, one.errors, one.took / SECOND))
        return sorted(found, key=lambda one: one.took, reverse=True)

    def close(self) -> None:
        """Trace no more."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _heard(self, raw: bytes) -> None:
        record = TracedRecord.from_buffer_copy(raw)
        begin = TracedRecord.text.offset
        text = _READ.get(record.what, _plain)(raw[begin : begin + record.size])
        if record.size >= TracedRecord.text.size - 1:
            text += _CUT
        self._take(
            Traced(
                record.at / SECOND,
                record.leaf,
                record.pid,
                record.comm.decode("utf-8", "backslashreplace"),
                text,
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
