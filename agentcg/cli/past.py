"""What the daemon has recorded, read whole: page by page, and in as many parts as it takes.

Sessions and calls may go while they are read: what is gone is left out and told, the rest stays.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from agentcg.errors import LimitError, NotFoundError
from agentcg.model.trace import Account, Recorded, Trace, Window

if TYPE_CHECKING:
    from agentcg.client import Client
    from agentcg.model.event import Event
    from agentcg.model.sample import Sample

T = TypeVar("T")
# Of a list: what an answer takes of the daemon's time. And of samples, which are smaller.
PAGE = 1000
SAMPLES = 2000
# So many events, the newest, are in an answer at most: there may be older ones.
EVENTS = 1000
# The end of a time that has none. Not now: the time of day may have been put back.
EVER = 1e11
# Closed calls that are read at most.
MOST = 200_000
# A session may have one query in flight; another of its processes may be asking.
_TRIES = 60
_AGAIN = 1.0
# A part of a course is not made shorter than that.
SHORTEST = 60.0


@dataclass(slots=True)
class Course:
    """The samples and events of a session, oldest first; `cut`, `unheard`: some are missing."""

    samples: "list[Sample]" = field(default_factory=list)
    events: "list[Event]" = field(default_factory=list)
    limit: int | None = None
    cut: bool = False
    unheard: bool = False
    lost: int = 0
    known: bool = False


def patiently(ask: Callable[[], T]) -> T:
    """Ask, and again later where somebody else's question is in the way."""
    for _ in range(_TRIES):
        try:
            return ask()
        except LimitError:
            time.sleep(_AGAIN)
    return ask()


def accounts(daemon: "Client", since: float, until: float, session: str | None) -> list[Account]:
    """All closed calls that were declared in a time, newest first; `MOST` at most."""
    return list(itertools.islice(closed(daemon, since, until, session), MOST))


def closed(daemon: "Client", since: float, until: float, session: str | None) -> Iterator[Account]:
    """All closed calls that were declared in a time, newest first, as they are asked for."""
    window, before = Window(since, until, PAGE), None
    while True:
        page = patiently(lambda w=window, b=before: daemon.accounts(w, session, b))  # type: ignore[misc]
        if not page:
            # A short page may only lack what is damaged.
            return
        yield from page
        window, before = replace(window, until=page[-1].declared_at), page[-1].call


def sessions(daemon: "Client", since: float, until: float, session: str | None) -> list[Recorded]:
    """All sessions of which something was recorded in a time, by name."""
    found: list[Recorded] = []
    window, after = Window(since, until, PAGE), None
    while True:
        page = patiently(lambda a=after: daemon.recorded(window, session, a))  # type: ignore[misc]
        if not page:
            return found
        found += page
        after = page[-1].session


def course(
    read: Callable[[Window], Trace], window: Window, enough: Callable[[Trace], bool]
) -> Course:
    """A course in parts, so many and so short that each is `enough`.

    `known` is False where no part is remembered any more.
    """
    whole = Course()
    parts = [window]
    while parts:
        part = parts.pop()
        since, until = part.since or 0.0, part.until or 0.0
        try:
            found = patiently(lambda w=part: read(w))  # type: ignore[misc]
        except NotFoundError:
            # Of this part nothing is remembered: that says nothing of the others.
            continue
        if not enough(found) and until - since > SHORTEST:
            parts += _split(part, since, until, found.taken)[::-1]
            continue
        _join(whole, found)
    return whole


def _split(part: Window, since: float, until: float, taken: int) -> list[Window]:
    """Parts that probably have fewer samples than an answer, and are not much too short."""
    count = max(2, min(-(-taken // SAMPLES) + 1, int((until - since) / SHORTEST)))
    borders = [since + (until - since) * n / count for n in range(count)] + [until]
    return [replace(part, since=a, until=b) for a, b in itertools.pairwise(borders)]


def _join(whole: Course, found: Trace) -> None:
    # A sample on the border of two parts is in both.
    last = whole.samples[-1].at if whole.samples else None
    skip = 1 if found.samples and found.samples[0].at == last else 0
    whole.samples += found.samples[skip:]
    known = {(one.at, one.seq) for one in whole.events[-len(found.events) - 1 :]}
    whole.events += [one for one in found.events if (one.at, one.seq) not in known]
    whole.limit = found.limit
    whole.cut |= found.cut
    whole.unheard |= len(found.events) >= EVENTS
    whole.lost = max(whole.lost, found.lost)
    whole.known = True
