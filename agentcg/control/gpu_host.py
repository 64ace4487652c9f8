"""What this host has of GPUs, found once: devices, what can hold leases, the engine. It blocks."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agentcg.errors import AgentcgError, UnsupportedError
from agentcg.gpu.device import DeviceReader
from agentcg.gpu.engine import Engine
from agentcg.gpu.guard import GpuGuard
from agentcg.gpu.imaginary import Imaginary
from agentcg.gpu.ladder import Ladder
from agentcg.gpu.overuse import uses
from agentcg.gpu.watchdog import Finding, Watchdog
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GpuReading, GuardKind, Lease
from agentcg.settings_parts import Gpu

if TYPE_CHECKING:
    from agentcg.gpu.device_gate import DeviceGate
    from agentcg.gpu.driver import DriverLimits
    from agentcg.gpu.kvcached import Kvcached
    from agentcg.gpu.uprobe import UprobeGuard

# A call at the gate of libcuda is denied after so long: the engine has made room by then, or not.
GATE = 30.0
_LATE = 10.0  # seconds more, by the guard itself: its leaf had no answer at all
Hear = Callable[[Finding], object]
Correct = Callable[[Mapping[int, int], float], None]  # what leaves use, by a driver asked then
_ORDER = tuple(GuardKind)  # weakest first


@dataclass(frozen=True, slots=True)
class Found:
    """What leases are made with. `gate` and `uprobe` are there where they work, until started."""

    device: DeviceReader
    ladder: Ladder
    engine: Engine | None
    gate: "DeviceGate | None" = None
    uprobe: "UprobeGuard | None" = None
    limits: "DriverLimits | None" = None
    folder: Path | None = None  # of the shim
    warnings: tuple[str, ...] = ()  # of the engine

    def start(self, leased: Collection[int]) -> dict[GuardKind, str]:
        """Attach what is to be attached; `leased` are the leaves that keep a lease.

        What cannot be is left out, and why is returned: the daemon has more to do than this.
        """
        begin: dict[GuardKind, Callable[[], None]] = {}
        if self.uprobe is not None:
            told = self.ladder.working(GuardKind.NVML)
            begin[GuardKind.UPROBE] = partial(self.uprobe.start, told=told)
        if self.gate is not None:
            begin[GuardKind.DEVICE] = partial(self.gate.start, leased)
        failed = {}
        for kind, attach in begin.items():
            try:
                attach()
            except (AgentcgError, OSError) as e:
                failed[kind] = e.message if isinstance(e, AgentcgError) else str(e)
                self.ladder.drop(kind, failed[kind])
        return failed

    @property
    def shim(self) -> Path | None:
        """Where calls find it, and what they have."""
        return self.folder if self.ladder.working(GuardKind.SHIM) else None

    @property
    def watched(self) -> "UprobeGuard | None":
        """What is to be asked who waits at libcuda's gate, once started."""
        return self.uprobe if self.ladder.working(GuardKind.UPROBE) else None

    def close(self) -> None:
        """Leave the host as it was found."""
        self.ladder.close()


@dataclass(frozen=True, slots=True)
class Watched:
    """A DeviceReader by which each reading is held against the leases, too."""

    device: DeviceReader
    watchdog: Watchdog
    now: Callable[[], float]
    hear: Hear
    correct: Correct

    def read(self) -> tuple[GpuReading, ...]:
        """Read, and act on what is read."""
        begun = time.monotonic()
        readings = self.device.read()
        findings = self.watchdog.look(readings, self.now())
        for finding in findings:
            self.hear(finding)
        # A call's account is of all devices: what one does not tell would be taken for gone.
        if all(one.attributed for one in readings):
            self.correct(uses(one.share for one in findings), begun)
        return readings


@dataclass(frozen=True, slots=True)
class Absent:
    """The DeviceReader of a host without a driver."""

    why: str

    def read(self) -> tuple[GpuReading, ...]:
        """Say why there is nothing to read.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(self.why)


@dataclass(frozen=True, slots=True)
class Required:
    """In place of a guard where none is as strong as the configuration requires: denies."""

    kind: GuardKind
    why: str

    def probe(self) -> str | None:
        """It never can."""
        return self.why

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        """Refuse.

        Raises:
            UnsupportedError: always.
        """
        del lease, leaf
        raise UnsupportedError(
            f"gpu.require is {self.kind.value}, which does not work here: {self.why}"
        )

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing was changed."""


def told(run: Path) -> Path:
    """Where programs that load the shim read what their calls have: below what agents see."""
    return run / "agent/gpu"


def find(
    settings: Gpu,
    root: CgroupDir,
    pool: CgroupDir,
    now: Callable[[], float],
    hear: Hear,
    *,
    folder: Path,
) -> Found:
    """Open and try all of it. `hear` is told in a thread what the watchdog saw and did.

    `folder` is for what programs that load the shim are told.
    """
    from agentcg.gpu import libcuda
    from agentcg.gpu.device_gate import DeviceGate
    from agentcg.gpu.shim import Shim
    from agentcg.gpu.uprobe import UprobeGuard
    from agentcg.kernel.bpffs import Pins

    uprobe, gate = UprobeGuard(libcuda.installed(), timeout=GATE + _LATE), None
    watched = partial(Watched, now=now, hear=hear, correct=uprobe.correct)
    device, guards = _device(settings, root, pool, watched)
    guards[GuardKind.UPROBE] = uprobe
    shim = guards[GuardKind.SHIM] = Shim(folder, settings.context)
    try:
        gate = guards[GuardKind.DEVICE] = DeviceGate(pool, Pins())
    except AgentcgError as e:
        guards[GuardKind.DEVICE] = e.message
    ladder, limits = Ladder(guards, settings.guards), guards[GuardKind.DRIVER]
    try:
        engine = engine_of(settings)
    except AgentcgError as e:
        # Beside an engine of which nothing is known nothing may be leased.
        engine, device = None, Absent(f"gpu.engine: {e.message}")
    return Found(
        device,
        ladder,
        engine,
        gate if ladder.working(GuardKind.DEVICE) else None,
        uprobe if ladder.working(GuardKind.UPROBE) else None,
        None if isinstance(limits, str) else cast("DriverLimits", limits),
        shim.folder,
        _warnings(engine),
    )


def without(settings: Gpu, why: str) -> Found:
    """Of a host that could not be looked at: every ask is denied, and told why."""
    kinds = (kind for kind in GuardKind if kind is not GuardKind.NONE)
    return Found(Absent(why), Ladder(dict.fromkeys(kinds, why), settings.guards), None)


def _warnings(engine: "Kvcached | None") -> tuple[str, ...]:
    try:
        return () if engine is None else engine.warnings()
    except AgentcgError as e:
        return (e.message,)  # it may only not be there yet


def strong_enough(ladder: Ladder, require: GuardKind) -> Callable[[Lease], Sequence[GpuGuard]]:
    """The ladder's guards for a lease, without those that are too weak."""

    def guards(lease: Lease) -> Sequence[GpuGuard]:
        found = ladder.guards(lease)
        if require is GuardKind.NONE:
            return found
        strong = [one for one in found if _ORDER.index(one.kind) >= _ORDER.index(require)]
        return strong or [Required(require, ladder.reasons[require] or "it takes no lease")]

    return guards


def _device(
    settings: Gpu,
    root: CgroupDir,
    pool: CgroupDir,
    watched: Callable[[DeviceReader, Watchdog], Watched],
) -> tuple[DeviceReader, dict[GuardKind, GpuGuard | str]]:
    # Imported late: nvidia-ml-py is 10 000 lines, and most hosts have no GPU.
    from agentcg.gpu.driver import DriverLimits
    from agentcg.kernel.nvml import Nvml

    try:
        nvml = Nvml.open()
    except AgentcgError as e:
        lacking: dict[GuardKind, GpuGuard | str] = {
            GuardKind.NVML: e.message,
            GuardKind.DRIVER: e.message,
        }
        if settings.imaginary is None:
            return Absent(e.message), lacking
        return Imaginary(settings.imaginary), lacking
    watchdog = Watchdog(nvml, root, settings.grace)
    return watched(nvml, watchdog), {
        GuardKind.NVML: watchdog,
        GuardKind.DRIVER: DriverLimits(nvml, pool),
    }


def engine_of(settings: Gpu) -> "Kvcached | None":
    """The engine that is configured.

    Raises:
        BadValueError: its name or its URL is none.
    """
    if settings.engine.kind == "none":
        return None
    from agentcg.gpu.kvcached import Kvcached
    from agentcg.gpu.poke import Poke

    poke = None if settings.engine.poke is None else Poke(settings.engine.poke)
    return Kvcached(settings.engine.name, owners=settings.engine.users, poke=poke)
