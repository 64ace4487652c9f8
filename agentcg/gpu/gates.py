"""Calls that wait at a lease's door, and the leaf that is frozen meanwhile.

The probe stops a process, which takes effect before the allocation does; we freeze its leaf, which
nothing in it can undo.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Self

from agentcg.errors import AgentcgError
from agentcg.kernel import pidfd, procfs
from agentcg.kernel.bpf_records import GPU_GATED, GPU_LOST, SECOND, GpuEventRecord
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import Lease, LeaseId

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_AT_ONCE = 256  # descriptors
_MARK = "user.agentcg.gpu_gate"


@dataclass(frozen=True, slots=True)
class Gate:
    """A call that did not fit: it waits, or is `killed` as it went on without an answer.

    `late`: it was killed as nobody answered in time; `lost`: as it could not be counted or stopped.

    `leases` are those of its leaf, `quota` what they have together. `program` is a word of its own
    choice. Bytes, and seconds of CLOCK_MONOTONIC.
    """

    leases: tuple[LeaseId, ...]
    pid: int
    program: str
    asked: int
    used: int
    quota: int
    at: float
    number: int
    thread: int
    killed: bool
    late: bool = False
    lost: bool = False

    @classmethod
    def heard(cls, event: GpuEventRecord, leases: Iterable[LeaseId]) -> Self:
        """As the probes tell it."""
        return cls(
            leases=tuple(leases),
            pid=event.pid,
            program=event.comm.decode("utf-8", "backslashreplace"),
            asked=event.size,
            used=event.used,
            quota=event.quota,
            at=event.at / SECOND,
            number=event.gate,
            thread=event.thread,
            killed=event.kind != GPU_GATED,
            lost=event.kind == GPU_LOST,
        )


class Leaf:
    """A leaf with a lease, by a handle of its own, and who waits there."""

    def __init__(self, cgroup: CgroupDir) -> None:
        """Begin with nobody waiting."""
        self.leases: dict[LeaseId, Lease] = {}
        self.cgroup = cgroup.open_path("")
        self.gates: dict[int, Gate] = {}
        self._froze = False
        recover(self.cgroup)

    @property
    def quota(self) -> int:
        """What its leases have together: the library does not say on which device memory is."""
        return sum(one.bytes for one in self.leases.values())

    def add(self, gate: Gate) -> None:
        """Freeze all here; `freeze` keeps in mind, for the next daemon, who else has come since."""
        first = not self.gates
        self.gates[gate.number] = gate
        if first:
            self.freeze()

    def freeze(self) -> None:
        """Stop all here, while one waits; again where somebody else let them go on."""
        if not self.gates:
            return
        mark(self.cgroup, (one.pid for one in self.gates.values()))
        with suppress(AgentcgError):  # it has gone
            # One that somebody else froze stays so afterwards.
            if self.cgroup.read_int("cgroup.freeze") == 0:
                self.cgroup.freeze()
                self._froze = True

    def still(self, end: float) -> bool:
        """Whether nothing runs here by then, so that all who came to the door have been told of."""
        with suppress(AgentcgError):
            while not self.cgroup.read_keyed("cgroup.events")["frozen"]:
                if time.monotonic() >= end:
                    return False
                time.sleep(0.001)
        return True

    def passed(self, *gates: Gate) -> None:
        """They may go on, or have; a process does when no other thread of it waits."""
        for one in gates:
            self.gates.pop(one.number, None)
        wait = {one.pid for one in self.gates.values()}
        _signal(self.cgroup, {one.pid for one in gates} - wait, signal.SIGCONT)
        self._thaw()

    def deny(self, *gates: Gate) -> set[int]:
        """Kill their processes, and with these all that waits there; those that had not gone."""
        pids = {one.pid for one in gates}
        killed = _kill(self.cgroup, pids)
        self.forget(*pids)
        return killed

    def forget(self, *pids: int) -> None:
        """Let nothing wait of processes that are dead."""
        dead = set(pids)
        left = {number: one for number, one in self.gates.items() if one.pid not in dead}
        if len(left) < len(self.gates):
            self.gates = left
            self._thaw()

    def prune(self) -> None:
        """Forget who was killed by others."""
        if not self.gates:
            return
        gone = {one.pid for one in self.gates.values()} - {0, *self.pids()}
        if gone:
            self.forget(*gone)

    def pids(self) -> Iterator[int]:
        """The processes here and below."""
        with suppress(AgentcgError):
            yield from _pids(self.cgroup)

    def _thaw(self) -> None:
        if self.gates:
            return
        with suppress(AgentcgError):
            if self._froze:
                self._froze = False
                self.cgroup.freeze(frozen=False)
        unmark(self.cgroup)


def mark(cgroup: CgroupDir, waiting: Iterable[int] = ()) -> None:
    """Keep in mind, for the next daemon, that a guard stops all here, and who waits at a gate."""
    with suppress(OSError):
        os.setxattr(_path(cgroup), _MARK, " ".join(map(str, waiting)).encode())


def unmark(cgroup: CgroupDir) -> None:
    """No guard stops anything here."""
    with suppress(OSError):
        os.removexattr(_path(cgroup), _MARK)


def waiting(cgroup: CgroupDir) -> tuple[int, ...]:
    """Who waits at a gate here, by the mark of an earlier daemon; 0 has no number for us.

    Root in the session may write a mark: who is not here is left out.

    Raises:
        OSError: there is no mark.
    """
    mark = os.getxattr(_path(cgroup), _MARK)
    with suppress(ValueError, AgentcgError):
        here = {0, *_pids(cgroup)}
        return tuple(one for one in map(int, mark.split()) if one in here)
    return ()


def recover(cgroup: CgroupDir) -> None:
    """Let go on what an earlier daemon stopped; who waits at a gate is killed, for want of one."""
    with suppress(OSError):
        _kill(cgroup, set(waiting(cgroup)))
        with suppress(AgentcgError):
            cgroup.freeze(frozen=False)
        unmark(cgroup)


def kill_asker(pid: int, at: float) -> None:
    """Kill who came to a door, at this time, of a leaf that has no lease any more."""
    with suppress(AgentcgError, OSError):
        fd = pidfd.open(pid)
        try:
            ago = time.monotonic() - at
            # Who was born since has only its number.
            if procfs.start_time(pid) * _TICK <= time.clock_gettime(time.CLOCK_BOOTTIME) - ago:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


def _path(cgroup: CgroupDir) -> str:
    return f"/proc/self/fd/{cgroup.fileno()}"


def _kill(cgroup: CgroupDir, pids: set[int]) -> set[int]:
    if 0 not in pids:
        return _signal(cgroup, pids, signal.SIGKILL)
    with suppress(AgentcgError):  # it has no number in our namespace
        cgroup.kill()
        return pids
    return set()


def _signal(cgroup: CgroupDir, pids: set[int], number: int) -> set[int]:
    """Those of them that are here, by one look for many."""
    told, rest = set(), list(pids)
    while rest:
        some, rest = rest[:_AT_ONCE], rest[_AT_ONCE:]
        with ExitStack() as stack, suppress(AgentcgError):
            found = {}
            for pid in some:
                with suppress(AgentcgError):
                    found[pid] = pidfd.open(pid)
                    stack.callback(os.close, found[pid])
            # A number may be another's by now.
            for pid in found.keys() & set(_pids(cgroup)):
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(found[pid], number)
                    told.add(pid)
    return told


def _pids(cgroup: CgroupDir) -> Iterator[int]:
    yield from cgroup.pids()
    for name in cgroup.children():
        with suppress(AgentcgError), cgroup.child(name) as below:
            yield from _pids(below)
