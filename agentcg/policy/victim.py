"""Which call has to go when nothing else gives memory back."""

from collections.abc import Iterable
from dataclasses import dataclass

from agentcg.model.ids import CallId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A running call: what it uses and is guaranteed, bytes; when it started, seconds."""

    call: CallId
    priority: int
    used: int
    guarantee: int
    started_at: float


def choose(candidates: Iterable[Candidate]) -> Candidate | None:
    """Of those over their guarantee: lowest priority, largest overage, least work lost."""
    over = [c for c in candidates if c.used > c.guarantee]
    return min(over, key=lambda c: (c.priority, c.guarantee - c.used, -c.started_at), default=None)
