"""What calls of a class used before, for a call that asks for no guarantee of memory.

Declared beats learned, and learned is a guarantee alone. Never a limit: what calls of a class used
before does not tell what the next one will, and a limit that is too tight kills it. The median, as
half of all calls then use what is kept for them; the rest of one's needs is a burst like any other.
What a rested call may grow at once anyhow (governor.burst) needs no guarantee, and each costs
writes up to the pool.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from typing_extensions import override

from agentcg.model.grant import GUARANTEE, Grant
from agentcg.model.ids import CallId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account
from agentcg.policy.quantiles import spread
from agentcg.settings_parts import KEEP

_KINDS = 64  # classes of a scope; the one used longest ago goes first
WORTH = 64 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Learned:
    """The median of the peaks of so many calls, and in words whose."""

    peak: int
    calls: int
    kind: str
    where: str

    @override
    def __str__(self) -> str:
        """As a grant says it."""
        return f"learned: the median peak of {self.calls} calls of {self.kind!r} {self.where}"


@dataclass(slots=True)
class Peaks:
    """Peaks of closed calls by scope (a session, or all of them together) and class. Bounded.

    `meanwhile`: the calls that have closed while those of the past are not all read; then None.
    """

    known: dict[str, OrderedDict[str, deque[int]]] = field(default_factory=dict)
    meanwhile: set[CallId] | None = field(default_factory=set)

    def add(self, scope: str, one: Account) -> None:
        """Take in a call that has closed, unless it never ran."""
        if one.peak is None or one.cause is Cause.NEVER_STARTED:
            return
        kinds = self.known.setdefault(scope, OrderedDict())
        kinds.setdefault(one.kind, deque(maxlen=KEEP)).append(one.peak)
        kinds.move_to_end(one.kind)
        while len(kinds) > _KINDS:
            kinds.popitem(last=False)

    def before(self, scope: str, newest_first: Iterable[Account]) -> None:
        """Take in calls that closed before all that are known."""
        early = Peaks()
        for one in reversed(list(newest_first)):
            early.add(scope, one)
        since = self.known.pop(scope, OrderedDict())
        self.known |= early.known
        mine = self.known.setdefault(scope, OrderedDict())
        for kind, peaks in since.items():
            mine.setdefault(kind, deque(maxlen=KEEP)).extend(peaks)
            mine.move_to_end(kind)
        while len(mine) > _KINDS:
            mine.popitem(last=False)

    def forget(self, scope: str) -> None:
        """Drop all of a scope."""
        self.known.pop(scope, None)

    def of(self, scope: str, kind: str, least: int, where: str) -> Learned | None:
        """What is known of a class, if it is at least so many calls and worth a guarantee."""
        kinds = self.known.get(scope)
        peaks = deque[int]() if kinds is None else kinds.get(kind, deque())
        median = spread(peaks).p50
        if len(peaks) < least or median is None or median < WORTH:
            return None
        return Learned(int(median), len(peaks), kind, where)


def without(grant: Grant) -> Grant:
    """The same, but for a guarantee that nobody asked for."""
    return replace(grant, memory_guarantee=0, source={}) if GUARANTEE in grant.source else grant
