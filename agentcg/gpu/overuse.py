"""What to do about calls that use more of a GPU than their leases: stop at once, kill after grace.

Nothing is done for a use that is unknown: it is told as unknown, and is neither 0 nor too much.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agentcg.model.gpu import LeaseId


class Act(StrEnum):
    """What is done to a call now."""

    NONE = "none"
    STOP = "stop"
    RESUME = "resume"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Share:
    """What the call in a leaf, by its cgroup id, may use of a device, and what it was seen to use.

    `known` is added up from what is told, `unknown` are the processes of which nothing is.
    `leases` are those on this device, `allowed` their bytes. `read`: the device was.
    """

    leaf: int
    gpu: str
    leases: tuple[LeaseId, ...] = ()
    allowed: int = 0
    known: int = 0
    unknown: tuple[int, ...] = ()
    read: bool = True

    @property
    def used(self) -> int | None:
        """The bytes used; None where that is not known in full."""
        return self.known if self.read and not self.unknown else None

    @property
    def over(self) -> bool:
        """Whether what is known is too much already."""
        return self.known > self.allowed

    @property
    def ended(self) -> bool:
        """Whether its leases were held to nothing: they are over, and their grace is too."""
        return bool(self.leases) and self.allowed == 0


def acts(
    shares: Iterable[Share], stopped: Mapping[int, float], now: float, grace: float
) -> dict[int, Act]:
    """What to do with each leaf; `stopped` has since when those are that were stopped for this."""
    by_leaf: dict[int, list[Share]] = {}
    for share in shares:
        by_leaf.setdefault(share.leaf, []).append(share)
    return {leaf: _act(theirs, stopped.get(leaf), now, grace) for leaf, theirs in by_leaf.items()}


def uses(shares: Iterable[Share]) -> dict[int, int]:
    """What leaves use of all devices together, of those of which that is known in full."""
    found: dict[int, int | None] = {}
    for share in shares:
        before = found.get(share.leaf, 0)
        unknown = before is None or share.used is None
        found[share.leaf] = None if unknown else (before or 0) + share.known
    return {leaf: used for leaf, used in found.items() if used is not None}


def _act(shares: list[Share], since: float | None, now: float, grace: float) -> Act:
    over = [share for share in shares if share.over]
    if any(share.ended for share in over):
        return Act.KILL
    if over and since is None:
        return Act.STOP
    if over and since is not None and now - since >= grace:
        return Act.KILL
    if since is not None and all(share.used is not None for share in shares) and not over:
        return Act.RESUME
    return Act.NONE
