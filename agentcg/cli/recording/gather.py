"""Everything that the daemon has recorded of a time: samples piece by piece, events by session.

What is forgotten while it is asked for is left out and told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from agentcg.cli import past
from agentcg.cli.recording.lines import FORMAT, STRETCH, Course, Head, Record
from agentcg.client import Client
from agentcg.errors import NotFoundError
from agentcg.model.call import Call
from agentcg.model.sample import Sample
from agentcg.model.trace import Trace, Window

POINTS = 2000  # the most of one answer
_EVENTS = 1000  # as many as one answer has
_SHORT = 2.0  # seconds: a stretch that is not divided any more

Reader = Callable[[Window], Trace]


def records(
    daemon: Client, since: float, until: float, tell: Callable[[str], None]
) -> Iterator[Record]:
    """The records of a time; `tell` is told what is left out, and why."""
    yield Head(FORMAT, since, until, daemon.host())
    views = daemon.sessions()
    yield from views
    calls = _lived(daemon, since, until)
    yield from calls
    sessions: dict[str, list[Call]] = {view.session.id: [] for view in views}
    for one in past.sessions(daemon, since, until, None):
        sessions.setdefault(one.session, [])
    for call in calls:
        sessions.setdefault(call.session, []).append(call)
    for name, mine in sorted(sessions.items()):
        asking = _Asking(since, until, tell)
        yield from asking.course(partial(daemon.session_trace, name), name, None)
        for call in mine:
            yield from asking.course(partial(daemon.call_trace, call.id), name, call.id)


def _lived(daemon: Client, since: float, until: float) -> list[Call]:
    """All calls that lived then, oldest first; a page is the newest of them.

    A page may be short and yet not the last: records that cannot be read are not in it.
    """
    found: dict[str, Call] = {}
    while True:
        page = daemon.lived(Window(since, until, POINTS))
        new = {str(call.id): call for call in page if call.id not in found}
        if not new:
            return sorted(found.values(), key=lambda call: call.declared_at)
        found |= new
        until = min(call.lifetime[0] for call in page)


@dataclass(slots=True)
class _Asking:
    """What is asked for of a session; an event is of it and of a call, and is told once."""

    since: float
    until: float
    tell: Callable[[str], None]
    known: set[tuple[float, int]] = field(default_factory=set)

    def course(self, read: Reader, session: str, call: str | None) -> Iterator[Record]:
        """The samples of a call or session, and its events."""
        samples: list[Sample] = []
        last = limit = None
        try:
            for piece in self._pieces(read, self.since, self.until):
                limit = None if call else piece.limit
                new = [event for event in piece.events if (event.at, event.seq) not in self.known]
                self.known |= {(event.at, event.seq) for event in new}
                yield from new
                for one in piece.samples:
                    # Both ends of a stretch are in it.
                    if (one.at, one.usage) != last:
                        samples.append(one)
                    last = one.at, one.usage
                while len(samples) >= STRETCH:
                    yield Course(session, call, tuple(samples[:STRETCH]), limit)
                    del samples[:STRETCH]
        except NotFoundError as error:
            self.tell(f"left out: {error.message}")
        if samples:
            yield Course(session, call, tuple(samples), limit)

    def _pieces(self, read: Reader, since: float, until: float) -> Iterator[Trace]:
        """Traces of stretches that are short enough to be told whole, in order."""
        found = read(Window(since, until, POINTS))
        whole = found.taken <= len(found.samples) and not found.cut
        whole = whole and len(found.events) < _EVENTS
        if whole or until - since <= _SHORT:
            if not whole:
                who = found.session if found.call is None else found.call.id
                self.tell(f"{who}: some of a second in which too much happened is left out")
            yield found
            return
        middle = (since + until) / 2
        missing = 0
        for half in ((since, middle), (middle, until)):
            try:
                yield from self._pieces(read, *half)
            except NotFoundError as error:
                if found.call is not None:
                    raise
                # A closed session without anything in this half answers so: the other one has it.
                missing += 1
                if missing == 2:
                    self.tell(f"left out: {error.message}")
