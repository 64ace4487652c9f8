"""GPU memory that calls share with an inference engine: leases, and what device and engine say.

Bytes and seconds; times of day in seconds since the epoch. None means "not known" or "not said",
never 0: a device that cannot tell what a process uses is not one where it uses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agentcg.model.ids import CallId, SessionId
from agentcg.model.ids import LeaseId as LeaseId
from agentcg.model.ids import ProgramId as ProgramId


class OnDeny(StrEnum):
    """What becomes of a call that gets no GPU memory."""

    FAIL = "fail"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class GpuWish:
    """What a call asks for: `memory` bytes, or at the least `least`, for `duration` seconds.

    `gpu` is a device's UUID, None any. `wait` bounds the time in the queue. A preemptible lease may
    be revoked for one of higher priority, with grace.
    """

    memory: int
    least: int | None = None
    gpu: str | None = None
    duration: float | None = None
    wait: float = 0.0
    preemptible: bool = False
    on_deny: OnDeny = OnDeny.FAIL
    program: ProgramId | None = None


class LeaseState(StrEnum):
    """queued → shrinking → granted ⇄ active → expiring → released, or denied.

    `shrinking`: the engine was asked to make room. `expiring`: over or revoked, and the memory not
    yet seen free. `granted` turns `active` when the first byte is seen used.
    """

    QUEUED = "queued"
    SHRINKING = "shrinking"
    GRANTED = "granted"
    ACTIVE = "active"
    EXPIRING = "expiring"
    RELEASED = "released"
    DENIED = "denied"


class GuardKind(StrEnum):
    """What holds a lease to its bytes, weakest first."""

    NONE = "none"
    SHIM = "shim"
    NVML = "nvml"
    DEVICE = "device"
    UPROBE = "uprobe"
    DRIVER = "driver"


@dataclass(frozen=True, slots=True)
class Lease:
    """GPU memory granted to a call for a time.

    `bytes` is what it has been given, 0 before; `used` what was last seen, None unknown.
    `revision` is that of the engine's shrink that made room for it, None if none was needed.
    `eta`: while it is queued, in how many seconds there may be room, None unknown.
    """

    id: LeaseId
    session: SessionId
    call: CallId
    wish: GpuWish
    state: LeaseState
    asked_at: float
    priority: int = 0
    gpu: str | None = None
    bytes: int = 0
    used: int | None = None
    guard: GuardKind = GuardKind.NONE
    granted_at: float | None = None
    expires_at: float | None = None
    revision: int | None = None
    eta: float | None = None
    reason: str = ""


class GpuNews(StrEnum):
    """What is told of a lease, or (without one) of the engine."""

    QUEUED = "queued"
    GRANTED = "granted"
    DENIED = "denied"
    REVOKED = "revoked"  # over or taken back: `grace` seconds are left
    OVER = "over"  # more than its bytes was seen used
    RELEASED = "released"
    ENGINE = "engine"  # its limit was changed, or it does not answer


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One process on a device, by the host's pid."""

    pid: int
    used: int | None


@dataclass(frozen=True, slots=True)
class GpuReading:
    """A device as its driver tells it at one time; `used` is all that is not free.

    `attributed`: the driver tells who uses it; if not, that `processes` is empty means nothing.
    """

    uuid: str
    name: str
    total: int
    used: int
    free: int
    processes: tuple[GpuProcess, ...]
    at: float
    attributed: bool = True


class Shrink(StrEnum):
    """In what an engine can give memory back: bytes, all of its KV cache, or nothing."""

    BYTES = "bytes"
    ALL_KV = "all_kv"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class EngineCaps:
    """What an engine was found able to do; nothing is assumed."""

    shrink: Shrink
    shrink_live: bool  # may serve while shrunk
    evict: bool  # can drop one program's KV


@dataclass(frozen=True, slots=True)
class EngineStats:
    """An engine's KV cache and queue.

    `kv_limit` is what it may map at most now, `kv_used` what is mapped; no `pids`: not known.
    """

    kv_limit: int
    kv_used: int
    kv_reclaimable: int | None
    running: int | None
    waiting: int | None
    pids: tuple[int, ...]
    at: float


class ShrinkStatus(StrEnum):
    """How an engine took a demand. `deferred`: not yet, it is heard and will follow."""

    APPLIED = "applied"
    DEFERRED = "deferred"
    STALE = "stale"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class ShrinkResult:
    """An engine's answer. `freed` is its word; the truth is what the driver says is free."""

    status: ShrinkStatus
    revision: int
    asked: int
    freed: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EngineLimit:
    """What the engine was told last, or is about to be. `was` is its limit without any lease."""

    revision: int
    was: int
    limit: int


class ProgramPhase(StrEnum):
    """What an agent's program told of itself, or what the daemon saw of its calls."""

    LLM_START = "llm_start"
    LLM_END = "llm_end"
    TOOL_START = "tool_start"
    TOOL_END = "tool_end"
    END = "end"


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the engine's, as far as its tool calls are known.

    `kv_bytes` is its context in the KV cache, as told. `tool_since` is None while the engine
    works for it; `tool_eta` is how many seconds the tool was said to take.
    """

    id: ProgramId
    session: SessionId
    phase: ProgramPhase
    at: float
    kv_bytes: int | None = None
    tool: str | None = None
    tool_since: float | None = None
    tool_eta: float | None = None


@dataclass(frozen=True, slots=True)
class GpuView:
    """What `GET /v1/gpu` tells: devices, engine, guards that work here and why others do not."""

    devices: tuple[GpuReading, ...] = ()
    engine: EngineStats | None = None
    caps: EngineCaps | None = None
    leases: tuple[Lease, ...] = ()
    guards: Mapping[GuardKind, str] = field(default_factory=dict)
    reserve: int = 0
