"""What a call gets: limits, hints for its environment, and what of that the host enforces."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcg.model.intent import CpuClass, OnEnd

ENFORCED = "ok"
GPU = "gpu"
GUARANTEE = "memory.guarantee"
THROTTLE = "memory.throttle"  # the knob by which growth is held up


def holds(how: str) -> bool:
    """Whether an entry of `Grant.enforced` says that the knob is held."""
    return how.partition(":")[0] == ENFORCED


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to an intent. Bytes, seconds, counts; None means "no limit of its own".

    `enforced` has one entry per knob: "ok" (perhaps with how: "ok: by memory.high"), or
    "unsupported: why". `notes` say in words where the
    grant is less than the intent, `source` where from what has that nobody declared, by knob:
    "learned: ...".
    """

    memory_guarantee: int = 0
    memory_limit: int | None = None
    pids: int | None = None
    cpu_class: CpuClass = CpuClass.NORMAL
    cpu_weight: int = 100
    cpus: frozenset[int] | None = None
    io_weight: int | None = None
    deadline: float | None = None
    priority: int = 0
    on_end: OnEnd = OnEnd.KILL
    env: Mapping[str, str] = field(default_factory=dict)
    enforced: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)
