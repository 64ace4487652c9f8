"""What sessions used since they were opened, for the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcg.model.outcome import Cause

OTHER = "other"


@dataclass(frozen=True, slots=True)
class Totals:
    """What only grows.

    - `cpu`, `throttled`: seconds, used and held back by cpu.max
    - `waited`: seconds in which some of its tasks waited for memory
    - `oom_kills`: processes that the OOM killer took
    """

    cpu: float = 0.0
    throttled: float = 0.0
    waited: float = 0.0
    oom_kills: int = 0

    def plus(self, other: "Totals", sign: int = 1) -> "Totals":
        """The sum, or with sign -1 what it is above `other`, never below 0."""
        return Totals(
            max(0.0, self.cpu + sign * other.cpu),
            max(0.0, self.throttled + sign * other.throttled),
            max(0.0, self.waited + sign * other.waited),
            max(0, self.oom_kills + sign * other.oom_kills),
        )

    def at_least(self, other: "Totals") -> "Totals":
        """The higher of each: a counter never falls."""
        return Totals(
            max(self.cpu, other.cpu),
            max(self.throttled, other.throttled),
            max(self.waited, other.waited),
            max(self.oom_kills, other.oom_kills),
        )


@dataclass(frozen=True, slots=True)
class Metered:
    """One session, or all that have no series of their own together.

    Bytes; `memory` and `limit` are None where they are not known.
    """

    session: str
    open_calls: int = 0
    memory: int | None = None
    limit: int | None = None
    totals: Totals = Totals()
    declared: int = 0
    undeclared: int = 0
    ended: Mapping[Cause, int] = field(default_factory=dict)
