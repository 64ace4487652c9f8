"""What happened to a call: numbers, the cause if it was killed, and words for the model."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why a call ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    OOM = "oom"
    PIDS = "pids"
    DEADLINE = "deadline"
    STALL = "stall"
    PRESSURE = "pressure"
    GPU = "gpu"
    REQUEST = "request"
    ORPHANED = "orphaned"
    NEVER_STARTED = "never-started"
    UNKNOWN = "unknown"


# Nobody stopped the call.
UNSTOPPED = frozenset({Cause.EXITED, Cause.SIGNALLED, Cause.NEVER_STARTED, Cause.UNKNOWN})


class Level(StrEnum):
    """Whose memory limit an OOM kill hit (`memory.events.local`, field `oom`)."""

    CALL = "call"
    CALLS = "calls"
    AGENT = "agent"
    SESSION = "session"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds and bytes; None means "not known", never zero.

    `peak` is the leaf's memory.peak, `throttled` the time cpu.max held it back, `held`
    that for which it was kept from growing (tier T1: in sum over its threads), `oom_kills` how
    often the kernel's OOM killer took one of its processes. `limit` is the call's own memory limit,
    `level_limit` the one that was hit.
    """

    cause: Cause
    exit_code: int | None = None
    signal: int | None = None
    wall: float | None = None
    cpu: float | None = None
    peak: int | None = None
    throttled: float | None = None
    oom_kills: int | None = None
    level: Level | None = None
    limit: int | None = None
    level_limit: int | None = None
    left_behind: int = 0
    advice: str = ""
    held: float | None = None
