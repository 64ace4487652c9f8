"""Calls that wait at a lease's door, and the leaf that is frozen meanwhile.

The probe stops a process, which takes effect before the allocation does; we freeze its leaf, which
nothing in it can undo.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from agentcg.errors import AgentcgError
from agentcg.kernel import pidfd
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import Lease, LeaseId

_STILL_WITHIN = 1.0  # seconds; a thread inside the kernel may take longer
_MARK = "user.agentcg.gpu_gate"


@dataclass(frozen=True, slots=True)
class Gate:
    """A call that did not fit: it waits, or is `killed` as it went on without an answer.

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


class Leaf:
    """A leaf with a lease, by a handle of its own, and who waits there."""

    def __init__(self, cgroup: CgroupDir) -> None:
        """Kill what an earlier daemon left waiting: nobody answers it any more."""
        self.leases: dict[LeaseId, Lease] = {}
        self.cgroup = cgroup.open_path("")
        self.gates: dict[int, Gate] = {}
        self._froze = False
        with suppress(OSError):
            left = os.getxattr(self._path, _MARK).split()
            for pid in map(int, left):
                self._kill(pid)
            self.cgroup.freeze(frozen=False)
            os.removexattr(self._path, _MARK)

    @property
    def quota(self) -> int:
        """What its leases have together: the library does not say on which device memory is."""
        return sum(one.bytes for one in self.leases.values())

    def add(self, gate: Gate) -> None:
        """Freeze all here, and keep that in mind for the next daemon."""
        self.gates[gate.number] = gate
        waiting = " ".join(str(one.pid) for one in self.gates.values())
        with suppress(OSError):
            os.setxattr(self._path, _MARK, waiting.encode())
        with suppress(AgentcgError):  # it has gone
            # One that somebody else froze stays so afterwards.
            if not self._froze and self.cgroup.read_int("cgroup.freeze") == 0:
                self.cgroup.freeze()
                self._froze = True

    def still(self) -> None:
        """Wait until nothing runs here, so that all who came to the door have been told of."""
        end = time.monotonic() + _STILL_WITHIN
        with suppress(AgentcgError):
            while not self.cgroup.read_keyed("cgroup.events")["frozen"] and time.monotonic() < end:
                time.sleep(0.001)

    def passed(self, gate: Gate) -> None:
        """It may go on, or has; its process does when no other thread of it waits."""
        self.gates.pop(gate.number, None)
        if gate.pid not in {one.pid for one in self.gates.values()}:
            self._signal(gate.pid, signal.SIGCONT)
        self._thaw()

    def deny(self, gate: Gate) -> None:
        """Kill its process, and with it all that waits there."""
        self._kill(gate.pid)
        self.forget(gate.pid)

    def forget(self, pid: int) -> None:
        """Let nothing wait of a process that is dead."""
        self.gates = {number: one for number, one in self.gates.items() if one.pid != pid}
        self._thaw()

    def prune(self) -> None:
        """Forget who was killed by others."""
        for pid in {one.pid for one in self.gates.values()} - {0, *self.pids()}:
            self.forget(pid)

    def pids(self) -> Iterator[int]:
        """The processes here and below."""
        with suppress(AgentcgError):
            yield from _pids(self.cgroup)

    @property
    def _path(self) -> str:
        return f"/proc/self/fd/{self.cgroup.fileno()}"

    def _thaw(self) -> None:
        if self.gates:
            return
        with suppress(AgentcgError):
            if self._froze:
                self._froze = False
                self.cgroup.freeze(frozen=False)
        with suppress(OSError):
            os.removexattr(self._path, _MARK)

    def _kill(self, pid: int) -> None:
        if pid:
            self._signal(pid, signal.SIGKILL)
            return
        with suppress(AgentcgError):  # it has no number in our namespace
            self.cgroup.kill()

    def _signal(self, pid: int, number: int) -> None:
        with suppress(AgentcgError, ProcessLookupError):
            fd = pidfd.open(pid)
            try:
                # The number may be another's by now.
                if pid in self.pids():
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)


def _pids(cgroup: CgroupDir) -> Iterator[int]:
    yield from cgroup.pids()
    for name in cgroup.children():
        with suppress(AgentcgError), cgroup.child(name) as below:
            yield from _pids(below)
