"""A GPU with an engine and tenants, faithful in what leases have to cope with."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from agentcg.control.journal import Journal
from agentcg.control.leasing import Leases, Parts
from agentcg.errors import UnavailableError
from agentcg.gpu.guard import GpuGuard
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import (
    EngineCaps,
    EngineStats,
    GpuNews,
    GpuProcess,
    GpuReading,
    GpuWish,
    GuardKind,
    Lease,
    ProgramId,
    Shrink,
    ShrinkResult,
    ShrinkStatus,
)
from agentcg.model.ids import CallId, SessionId
from agentcg.policy.ledger import GIB, Rules

ENGINE_PID = 1000
GPU = "GPU-0"
LEAF = cast(CgroupDir, object())


@dataclass
class FakeEngine:
    """An elastic KV cache. `mode` is how it takes the next demands.

    deferred: it hears at the next demand after (the poke that an idle one needs); pages: it hears
    and gives back what it has mapped only by `free`; lost: the answer is lost, and it hears of it
    by `deliver`; hang: it does not answer until `hanging` is set.
    """

    limit_now: int
    used: int = 0
    weights: int = 20 * GIB
    mode: str = "applied"
    shrink: Shrink = Shrink.BYTES
    running: int = 0
    revision: int = 0
    waiting: list[tuple[int, int]] = field(default_factory=list)
    demands: list[tuple[int, int]] = field(default_factory=list)
    evicts: bool = True
    pids: tuple[int, ...] = (ENGINE_PID,)
    evicted: list[str] = field(default_factory=list)
    kv: dict[str, int] = field(default_factory=dict)  # of programs
    hanging: threading.Event = field(default_factory=threading.Event)

    def probe(self) -> EngineCaps:
        return EngineCaps(self.shrink, shrink_live=True, evict=self.evicts)

    def stats(self) -> EngineStats:
        if self.mode == "dead":
            raise UnavailableError("connection refused")
        return EngineStats(self.limit_now, self.used, None, self.running, 0, self.pids, 0.0)

    def limit(self, kv_bytes: int, *, revision: int, timeout: float) -> ShrinkResult:
        self.demands.append((revision, kv_bytes))
        if self.mode == "hang":
            self.hanging.wait()
        if self.mode in ("hang", "dead"):
            raise UnavailableError("connection reset")
        if self.mode == "rejected":
            return ShrinkResult(ShrinkStatus.REJECTED, revision, kv_bytes, 0, "requests run")
        if self.mode == "lost":
            self.waiting.append((revision, kv_bytes))
            raise UnavailableError("timed out")
        self.deliver()
        if revision <= self.revision:
            return ShrinkResult(ShrinkStatus.STALE, self.revision, kv_bytes, 0)
        if self.mode == "deferred":
            self.waiting.append((revision, kv_bytes))
            return ShrinkResult(ShrinkStatus.DEFERRED, revision, kv_bytes, 0, "idle")
        freed = self._hear(revision, kv_bytes)
        return ShrinkResult(ShrinkStatus.APPLIED, revision, kv_bytes, freed)

    def deliver(self) -> None:
        """Hear what was not heard yet; nothing older than what was."""
        for revision, kv_bytes in sorted(self.waiting):
            if revision > self.revision:
                self._hear(revision, kv_bytes)
        self.waiting.clear()

    def free(self, used: int) -> None:
        self.used = min(self.used, used)

    def alloc(self, used: int) -> None:
        self.used = max(self.used, min(used, self.limit_now))

    def evict(self, program: ProgramId) -> bool:
        self.evicted.append(program)
        self.used -= self.kv.pop(program, 0)
        return self.evicts

    def _hear(self, revision: int, kv_bytes: int) -> int:
        self.revision, self.limit_now = revision, kv_bytes
        before = self.used
        if self.mode != "pages":
            self.free(kv_bytes)
        return before - self.used


@dataclass
class FakeGuard:
    kind: GuardKind = GuardKind.UPROBE
    held: dict[str, int] = field(default_factory=dict)
    fails: str = ""
    pause: Callable[[], None] = lambda: None

    def probe(self) -> str | None:
        return None

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        if self.fails:
            raise UnavailableError(self.fails)
        self.pause()
        self.held[lease.call] = lease.bytes

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        self.held.pop(lease.call, None)

    def close(self) -> None:
        self.held.clear()


@dataclass
class World:
    """One device of 80 GiB; `uses` are what calls have allocated, by pid."""

    engine: FakeEngine | None = field(default_factory=lambda: FakeEngine(50 * GIB))
    total: int = 80 * GIB
    others: int = 0
    uses: dict[int, int | None] = field(default_factory=dict)
    hidden: int = 0  # used by processes of which the driver does not tell how much
    attributed: bool = True
    gone: set[CallId] = field(default_factory=set)
    clock: float = 100.0
    fails: str = ""
    guard: FakeGuard = field(default_factory=FakeGuard)
    rules: Rules = field(default_factory=lambda: Rules(reserve=2 * GIB))
    told: list[tuple[GpuNews, str, dict[str, Any]]] = field(default_factory=list)
    journal: Journal = field(default_factory=lambda: Journal(Path(":memory:"), keep=3))

    @property
    def used(self) -> int:
        engine = 0 if self.engine is None else self.engine.weights + self.engine.used
        return self.others + engine + self.hidden + sum(one or 0 for one in self.uses.values())

    def read(self) -> tuple[GpuReading, ...]:
        if self.fails:
            raise UnavailableError(self.fails)
        tenants = tuple(GpuProcess(pid, used) for pid, used in self.uses.items() if used != 0)
        listed = (GpuProcess(ENGINE_PID, None), *tenants) if self.attributed else ()
        free = self.total - self.used
        return (
            GpuReading(GPU, "H", self.total, self.used, free, listed, self.clock, self.attributed),
        )

    def leases(self, **changes: Any) -> Leases:
        """A daemon in this world."""
        guards: Sequence[GpuGuard] = (self.guard,)
        parts = Parts(
            device=self,
            guards=lambda _: guards,
            whose=lambda pid: None if pid == ENGINE_PID else call_of(pid),
            leaf=lambda call: None if call in self.gone else LEAF,
            journal=self.journal,
            tell=lambda news, _, text, data: self.told.append((news, text, dict(data))),
            now=lambda: 1e9 + self.clock,
            clock=lambda: self.clock,
            engine=self.engine,
            rules=self.rules,
        )
        return Leases(replace(parts, **changes))


def call_of(pid: int) -> CallId:
    return CallId(f"c-{pid}")


def wish(gib: float, **more: Any) -> GpuWish:
    return GpuWish(int(gib * GIB), **more)


async def ask(leases: Leases, pid: int, wanted: GpuWish, priority: int = 0) -> Lease:
    return await leases.ask(SessionId("s"), call_of(pid), LEAF, wanted, priority)
