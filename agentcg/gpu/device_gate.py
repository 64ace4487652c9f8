"""No lease, no GPU device: bpf/device_gate.bpf.c on the pool, which says how it works.

It is pinned: a daemon that dies leaves it as it was, the next one adopts it, one that stops takes
it away. What is open stays open; the bytes of a lease are another guard's business.
"""

import contextlib
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from agentcg.errors import AgentcgError, BpfError, UnavailableError
from agentcg.kernel import probe_bpf
from agentcg.kernel.bpf_map import Map
from agentcg.kernel.bpf_object import Object, shipped
from agentcg.kernel.bpffs import Adopted, Pins, digest
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GuardKind, Lease, LeaseId

SET = "device_gate"
_HERE = b"\1"


def nvidia_majors(devices: Path = Path("/proc/devices")) -> frozenset[int]:
    """The major numbers of NVIDIA's character devices; those of a module come with its loading."""
    found = set()
    for line in devices.read_text().partition("Block devices:")[0].splitlines():
        number, _, name = line.strip().partition(" ")
        if name.startswith("nvidia"):
            found.add(int(number))
    return frozenset(found)


class DeviceGate:
    """A GpuGuard. After `start`, what is below `pool` opens a gated device with a lease only."""

    kind = GuardKind.DEVICE

    def __init__(
        self, pool: CgroupDir, pins: Pins, majors: Callable[[], Collection[int]] = nvidia_majors
    ) -> None:
        """`majors` is asked at each lease: a driver's module may be loaded late."""
        self._pool = pool
        self._pins = pins
        self._majors = majors
        self._held: Adopted | None = None
        self._leases: dict[int, set[LeaseId]] = {}
        self._lock = threading.Lock()

    def probe(self) -> str | None:
        """Load it, and attach it to nothing."""
        if self._held is not None:
            return None
        try:
            if not self._majors():
                return "no NVIDIA device in /proc/devices: its driver is not loaded"
            with Object.open(shipped(SET)) as one:
                one.load()
        except (AgentcgError, OSError) as error:
            return probe_bpf.in_words(error)
        return None

    def start(self, leased: Collection[int]) -> None:
        """Adopt what an earlier daemon left, or attach; `leased` are the ids of who keeps a lease.

        Raises:
            BpfError: the kernel refuses, such as where another program bars all others.
        """
        # The pool's id is of the version: a link to one that is gone gates nothing.
        version = f"{digest(shipped(SET))}-{self._pool.id:x}"
        held = self._pins.adopt(SET, version)
        if held is None:
            self._attach(version)
            held = self._pins.adopt(SET, version)
        if held is None:
            raise BpfError(f"{self._pins.base / SET}: what was pinned there is gone", None)
        self._held = held
        _make(held.maps["leased"], {_key(one) for one in leased})
        self._gate()

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        """Let what runs in `leaf` open the GPU."""
        with self._lock:
            self._gate()
            self._maps("leased").update(_key(leaf.id), _HERE)
            self._leases.setdefault(leaf.id, set()).add(lease.id)

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        """With its last lease let it open no more; what is open stays so."""
        with self._lock:
            left = self._leases.pop(leaf.id, set()) - {lease.id}
            if left:
                self._leases[leaf.id] = left
            else:
                self._maps("leased").delete(_key(leaf.id))

    def refused(self, leaf: CgroupDir) -> int:
        """How often something directly in `leaf` was refused a device."""
        return int.from_bytes(self._maps("refused").lookup(_key(leaf.id)) or b"", "little")

    def close(self) -> None:
        """Detach it."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
        self._pins.remove(SET)

    def _gate(self) -> None:
        wanted = {one.to_bytes(4, "little") for one in self._majors()}
        _make(self._maps("gated"), wanted)

    def _maps(self, name: str) -> Map:
        if self._held is None:
            raise UnavailableError("the device gate is not attached: start it first")
        return self._held.maps[name]

    def _attach(self, version: str) -> None:
        with contextlib.ExitStack() as open_ones, Object.open(shipped(SET)) as one:
            one.load()
            maps = {name: open_ones.enter_context(each) for name, each in one.maps().items()}
            link = open_ones.enter_context(one.program(SET).attach_cgroup(self._pool.fileno()))
            # The new one refuses all by now: between the two nothing is let through.
            _make(maps["gated"], {each.to_bytes(4, "little") for each in self._majors()})
            self._pins.remove(SET)
            self._pins.pin(SET, version, links={SET: link}, maps=maps, commands={})


def _make(one: Map, wanted: set[bytes]) -> None:
    """Give a set of keys what it lacks, and take away what is too much."""
    there = set(one.keys())
    for key in wanted - there:
        one.update(key, _HERE)
    for key in there - wanted:
        one.delete(key)


def _key(cgroup_id: int) -> bytes:
    return cgroup_id.to_bytes(8, "little")
