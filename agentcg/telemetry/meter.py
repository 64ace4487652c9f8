"""Which sessions have series of their own in the metrics, and what is counted of each.

A session has its place from when it is opened to when it is closed: one that changed places would
look like a counter that was reset. What closed ones of the rest had stays in the sum of the rest,
for the same reason.
"""

from collections import Counter
from dataclasses import dataclass, field

from agentcg.model.event import Event, Kind
from agentcg.model.metered import OTHER, Metered, Totals
from agentcg.model.outcome import Cause


@dataclass(slots=True)
class Count:
    """What a session did since it was opened; `base` is what its cgroup had counted then."""

    base: Totals = field(default_factory=Totals)
    totals: Totals = field(default_factory=Totals)
    declared: int = 0
    undeclared: int = 0
    ended: Counter[Cause] = field(default_factory=Counter)

    def read(self, found: Totals) -> None:
        """The cgroup's counters are these now."""
        self.totals = self.totals.at_least(found.plus(self.base, -1))

    def add(self, other: "Count") -> None:
        """Take in what another counted."""
        self.totals = self.totals.plus(other.totals)
        self.declared += other.declared
        self.undeclared += other.undeclared
        self.ended.update(other.ended)

    def shown(self, name: str, calls: int, memory: int | None, limit: int | None) -> Metered:
        """For the metrics; each cause is there from the start, so that its first is an increase."""
        ended = {cause: self.ended[cause] for cause in Cause}
        return Metered(
            name, calls, memory, limit, self.totals, self.declared, self.undeclared, ended
        )


class Meter:
    """Counts by session, of which at most `most` are told apart."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._own: dict[str, Count] = {}
        self._rest: dict[str, Count] = {}
        self._gone = Count()

    def open(self, session: str, base: Totals) -> None:
        """A session is there from now on."""
        # One that is called as the rest is must not be mistaken for it.
        own = len(self._own) < self._most and session != OTHER
        (self._own if own else self._rest)[session] = Count(base)

    def close(self, session: str) -> None:
        """It is no more."""
        self._own.pop(session, None)
        gone = self._rest.pop(session, None)
        if gone is not None:
            self._gone.add(gone)

    def hear(self, event: Event) -> None:
        """Count what an event tells."""
        count = self.of(event.session or "")
        if count is None:
            return
        if event.kind is Kind.CALL_DECLARED:
            count.declared += 1
        elif event.kind is Kind.CALL_ENDED:
            count.ended[Cause(str(event.data["cause"]))] += 1

    def of(self, session: str) -> Count | None:
        """What is counted of an open session."""
        return self._own.get(session) or self._rest.get(session)

    def is_own(self, session: str) -> bool:
        """Whether it has series of its own."""
        return session in self._own

    def rest(self) -> Count:
        """All others together, with those that are closed."""
        total = Count()
        for one in (self._gone, *self._rest.values()):
            total.add(one)
        return total
