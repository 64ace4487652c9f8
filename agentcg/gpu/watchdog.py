"""Guard by looking: what NVML says that a call's processes use is held against its leases.

It acts after the fact, as late as the next look. A call is stopped by its cgroup's freezer, which
unlike SIGSTOP no process in the session can undo. A mark on the leaf tells the next daemon, which
lets it go on and looks anew.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agentcg.errors import AgentcgError, ProcessGoneError
from agentcg.gpu import gates
from agentcg.gpu.device import DeviceReader
from agentcg.gpu.overuse import Act, Share, acts
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GpuProcess, GpuReading, GuardKind, Lease, LeaseId

_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Finding:
    """One call's use of one device, and what was done to the call because of any of them."""

    share: Share
    act: Act
    why: str = ""  # it was not done


class Watchdog:
    """A GpuGuard, which holds nobody unless `look` is called time and again."""

    kind = GuardKind.NVML

    def __init__(
        self,
        device: DeviceReader,
        root: CgroupDir,
        grace: float,
        host_pids: Callable[[], bool] = procfs.in_initial_pids,
    ) -> None:
        """`root` is the mount that leaves are below, `grace` seconds from a stop to the kill."""
        self._device = device
        self._root = root.path
        self._lock = threading.RLock()  # a lease is taken back while another thread looks
        self._grace = grace
        self._host_pids = host_pids
        self._held: dict[LeaseId, tuple[Lease, CgroupDir]] = {}
        self._stopped: dict[int, float] = {}
        self._killed: set[int] = set()

    def probe(self) -> str | None:
        """Read all devices."""
        if not self._host_pids():
            return "NVML tells pids of the host: run the daemon in the initial pid namespace"
        try:
            readings = self._device.read()
        except AgentcgError as error:
            return error.message
        if not readings:
            return "NVML tells of no GPU"
        silent = [one.uuid for one in readings if not one.attributed]
        if silent:
            return f"the driver does not tell who uses {', '.join(silent)}: a newer one may"
        return None

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        """From the next look on."""
        with self._lock:
            before = self._held.get(lease.id)
            # A handle of its own, closed with the lease.
            self._held[lease.id] = (lease, leaf.open_path("") if before is None else before[1])

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        """Look no more; who was stopped for its last lease may go on."""
        with self._lock:
            held = self._held.pop(lease.id, None)
            if held is None:
                return
            if leaf.id not in {one.id for _, one in self._held.values()}:
                self._resume(held[1])
            held[1].close()

    def close(self) -> None:
        """Let go on who was stopped."""
        with self._lock:
            for lease, leaf in list(self._held.values()):
                self.release(lease, leaf)

    def look(self, readings: Sequence[GpuReading], now: float) -> tuple[Finding, ...]:
        """Hold what the devices say against the leases, and act. It blocks, in a thread."""
        with self._lock:
            shares = self._shares(readings, now)
            # Were the clock set back, a grace would last as long.
            self._stopped = {leaf: min(since, now) for leaf, since in self._stopped.items()}
            todo = acts(shares, self._stopped, now, self._grace)
            leaves = {leaf.id: leaf for _, leaf in self._held.values()}
            done = {leaf: self._do(leaves[leaf], act, now) for leaf, act in todo.items()}
        return tuple(Finding(share, *done[share.leaf]) for share in shares)

    def _shares(self, readings: Sequence[GpuReading], now: float) -> list[Share]:
        if not self._held:
            return []
        leaves = {self._path(leaf): leaf.id for _, leaf in self._held.values()}
        found: dict[tuple[int, str], list[GpuProcess]] = {}
        for reading in readings:
            for process in reading.processes:
                leaf, same = _whereabouts(process.pid, now - reading.at)
                whose = next((leaves[one] for one in _upwards(leaf) if one in leaves), None)
                if whose is not None:
                    known = process if same else GpuProcess(process.pid, None)
                    found.setdefault((whose, reading.uuid), []).append(known)
        leased: dict[tuple[int, str], list[Lease]] = {}
        for lease, cgroup in self._held.values():
            leased.setdefault((cgroup.id, lease.gpu or ""), []).append(lease)
        read = {one.uuid for one in readings if one.attributed}
        return [
            Share(
                leaf=leaf,
                gpu=gpu,
                leases=tuple(one.id for one in leased.get((leaf, gpu), ())),
                allowed=sum(one.bytes for one in leased.get((leaf, gpu), ())),
                known=sum(one.used or 0 for one in found.get((leaf, gpu), ())),
                unknown=tuple(p.pid for p in found.get((leaf, gpu), ()) if p.used is None),
                read=gpu in read,
            )
            for leaf, gpu in sorted({*found, *leased})
        ]

    def _path(self, leaf: CgroupDir) -> str:
        return f"/{leaf.path.relative_to(self._root)}"

    def _do(self, leaf: CgroupDir, act: Act, now: float) -> tuple[Act, str]:
        try:
            if act is Act.STOP:
                gates.mark(leaf)
                leaf.freeze()
                self._stopped[leaf.id] = now
            elif act is Act.RESUME:
                self._resume(leaf)
            elif act is Act.NONE and leaf.id in self._stopped:
                leaf.freeze()  # a session may freeze its call by the API, and then thaw it
            elif act is Act.KILL and leaf.id in self._killed:
                return Act.NONE, ""  # it is dying
            elif act is Act.KILL:
                leaf.kill()
                self._killed.add(leaf.id)
        except AgentcgError as error:
            return Act.NONE, error.message
        return act, ""

    def _resume(self, leaf: CgroupDir) -> None:
        self._killed.discard(leaf.id)
        if self._stopped.pop(leaf.id, None) is not None:
            with contextlib.suppress(AgentcgError):  # it has gone, and its processes with it
                leaf.freeze(frozen=False)
            gates.unmark(leaf)


def _whereabouts(pid: int, ago: float) -> tuple[str, bool]:
    """The cgroup of a process, "" if it has gone; whether the driver meant it `ago` seconds before.

    Who was born since then only has the number of who was meant.
    """
    try:
        fd = pidfds.open(pid)
    except AgentcgError:
        return "", False
    try:
        path = procfs.cgroup_path(pid)
        born = procfs.start_time(pid) * _TICK
        if not pidfds.alive(fd):
            return "", False
    except ProcessGoneError:
        return "", False
    finally:
        os.close(fd)
    return path, born <= time.clock_gettime(time.CLOCK_BOOTTIME) - max(0.0, ago)


def _upwards(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
