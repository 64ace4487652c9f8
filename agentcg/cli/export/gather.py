"""Ask the daemon for all that an export holds, a piece at a time.

The calls that are open are listed before those that are closed: one that closes meanwhile is in the
second list at the latest, and what it did until it is read is in the file. What is forgotten or
closed between the listing and its turn is left out, said, and the rest goes on.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from agentcg.cli import past, pieces
from agentcg.cli.export.items import CallItem, EventItem, Item, SampleItem, SessionItem
from agentcg.client import Client
from agentcg.errors import NotFoundError
from agentcg.model.call import Call
from agentcg.model.trace import Account

# An account does not say how long the call waited for its start, and lingered.
_LINGER = 1860.0


@dataclass(slots=True)
class Gatherer:
    """Reads a time of sessions and calls. `tell` has words for stderr.

    `incomplete`: the daemon has something that it could not tell.
    """

    daemon: Client
    since: float
    until: float
    now: float
    tell: Callable[[str], None]
    incomplete: bool = False

    def day(self) -> Iterator[Item]:
        """All sessions of the time, one behind the other."""
        names = {one.session for one in past.sessions(self.daemon, self.since, self.until, None)}
        if self.since <= self.now <= self.until:
            # What was read last may be in no list yet.
            names |= {view.session.id for view in self.daemon.sessions()}
        for name in sorted(names):
            yield from self.session(name)

    def session(self, name: str) -> Iterator[Item]:
        """A session and all its calls, those declared last first."""
        yield SessionItem(name)
        living: list[Call | Account] = [
            view.call
            for view in self.daemon.calls()
            if view.call.session == name and view.call.declared_at <= self.until
        ]
        living.sort(key=_declared, reverse=True)
        try:
            yield from self._course(name, "", partial(self.daemon.session_trace, name))
        except NotFoundError:
            self.tell(f"session {name}: nothing of it is recorded in that time")
        listed = {_name(one) for one in living}
        closed = (one for one in self._accounts(name) if one.call not in listed)
        for one in heapq.merge(living, closed, key=_declared, reverse=True):
            yield from self.call(one)

    def call(self, listed: Call | Account) -> Iterator[Item]:
        """A call with its samples; its events are among those of its session."""
        name = _name(listed)
        try:
            item = self._item(self.daemon.call(name).call)
        except NotFoundError:
            self.tell(f"call {name}: its record is no longer kept")
            if not isinstance(listed, Account):
                return
            item = _account(listed)
        if item.end < self.since:
            return
        yield item
        course = self._course(listed.session, name, partial(self.daemon.call_trace, name))
        try:
            yield from (one for one in course if not isinstance(one, EventItem))
        except NotFoundError:
            self.tell(f"call {name}: its samples are forgotten and left out")

    def alone(self, record: Call) -> Iterator[Item]:
        """One call with its samples and events."""
        yield SessionItem(record.session)
        yield self._item(record)
        read = partial(self.daemon.call_trace, record.id)
        yield from self._course(record.session, record.id, read)

    def _course(self, session: str, call: str, read: pieces.Read) -> Iterator[Item]:
        """Samples and events of one subject, each once."""
        whole = True
        for piece in pieces.pieces(read, self.since, self.until):
            whole &= piece.whole
            for sample in piece.trace.samples:
                yield SampleItem(session, call, sample)
            for event in piece.trace.events:
                yield EventItem(event)
        if not whole:
            self.incomplete = True
            self.tell(f"{call or session}: {pieces.LEFT_OUT}")

    def _accounts(self, session: str) -> Iterator[Account]:
        """Closed calls of a session that were there in the time, whenever they were declared."""
        for one in past.closed(self.daemon, 0.0, self.until, session):
            if _account(one).end + _LINGER >= self.since:
                yield one

    def _item(self, record: Call) -> CallItem:
        ends = record.ended_at or record.closed_at or min(self.until, self.now)
        end = max(ends, record.declared_at)
        return CallItem(record, record.declared_at, end, max(end, record.closed_at or end))


def _account(one: Account) -> CallItem:
    end = one.declared_at + max(0.0, one.wall or 0.0)
    return CallItem(one, one.declared_at, end, end)


def _declared(one: Call | Account) -> float:
    return one.declared_at


def _name(one: Call | Account) -> str:
    return one.call if isinstance(one, Account) else one.id
