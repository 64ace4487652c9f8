"""What a call says it needs. Sizes are bytes, times are seconds; None means "not said"."""

from dataclasses import dataclass
from enum import StrEnum

from agentcg.model.gpu import GpuWish


class CpuClass(StrEnum):
    """How urgent a call's CPU time is, inside its session."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"


class OnPressure(StrEnum):
    """What the caller would rather have happen to the call; a preference, not a veto."""

    THROTTLE = "throttle"
    FREEZE = "freeze"
    KILL = "kill"


class OnEnd(StrEnum):
    """What becomes of processes that outlive the call's main process."""

    KILL = "kill"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class MemoryWish:
    """Two numbers: what is never reclaimed for others, and where the call is killed."""

    guarantee: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class CpuWish:
    """Class, weight among the session's calls (1 to 10000), and number of cores."""

    cpu_class: CpuClass = CpuClass.NORMAL
    weight: int | None = None
    cores: float | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """One call's declaration.

    `key` is the harness's own id of the call: declaring the same key again in one session gives
    the same call back. `traceparent` is the span of the harness that it belongs to.
    """

    tool: str = "shell"
    command: str | None = None
    key: str | None = None
    memory: MemoryWish = MemoryWish()
    cpu: CpuWish = CpuWish()
    pids: int | None = None
    io_weight: int | None = None
    duration: float | None = None
    deadline: float | None = None
    priority: int | None = None
    on_pressure: OnPressure = OnPressure.THROTTLE
    on_end: OnEnd = OnEnd.KILL
    traceparent: str | None = None
    gpu: GpuWish | None = None
