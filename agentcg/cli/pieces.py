"""The course of a call or session, read whole: in as many pieces as that takes."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from agentcg.cli.past import patiently
from agentcg.errors import NotFoundError
from agentcg.model.trace import Trace, Window

if TYPE_CHECKING:
    from agentcg.model.event import Event
    from agentcg.model.sample import Sample, Usage

# An answer has so many samples at most, and so many events, the newest.
POINTS = 2000
EVENTS = 1000
# How much earlier a piece begins than it has to: the time of day of a sample moves by a
# millisecond when it is written. What is then seen twice is known again.
_OVERLAP = 0.01
# A shorter time is not split: where it was put back, all may be at one moment.
_SHORTEST = _OVERLAP
_MOST = 64
# What is told of one that is not whole.
LEFT_OUT = "more happened at one moment than can be told at once; some of it is left out"

Read = Callable[[Window], Trace]


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples and events that no piece before has; `whole`: nothing of its time is left out."""

    trace: Trace
    whole: bool


@dataclass(slots=True)
class Course:
    """All pieces in one; not `whole`: something is left out."""

    samples: "list[Sample]" = field(default_factory=list)
    events: "list[Event]" = field(default_factory=list)
    limit: int | None = None
    whole: bool = True
    lost: int = 0


def course(read: Read, since: float, until: float, *, thin: bool = False) -> Course:
    """All of a time at once.

    Raises:
        NotFoundError: as `pieces`.
    """
    made = Course()
    for piece in pieces(read, since, until, thin=thin):
        made.samples += piece.trace.samples
        made.events += piece.trace.events
        made.limit = piece.trace.limit
        made.whole &= piece.whole
        made.lost = max(made.lost, piece.trace.lost)
    return made


def pieces(read: Read, since: float, until: float, *, thin: bool = False) -> Iterator[Piece]:
    """All of a time, oldest first; `thin`: one sample may stand for several.

    Raises:
        NotFoundError: nothing of it is remembered, or the call is forgotten meanwhile.
    """
    seen: set[tuple[int, Usage]] = set()
    left = [(since, until)]
    found: Trace | None = None
    while left:
        begin, end = left.pop()
        try:
            found = patiently(partial(read, Window(max(0.0, begin - _OVERLAP), end, POINTS)))
        except NotFoundError:
            if found is None or found.call is not None:
                raise
            # A closed session with nothing in this piece: that says nothing of the others.
            continue
        whole = _whole(found, thin=thin)
        if not whole and end - begin > _SHORTEST:
            left += reversed(list(itertools.pairwise(_edges(found, begin, end))))
            continue
        fresh = tuple(one for one in found.samples if _key(one) not in seen)
        seen = {_key(one) for one in found.samples}
        told = (one for one in found.events if begin <= one.at and (not left or one.at < end))
        yield Piece(replace(found, samples=fresh, events=tuple(told)), whole)


def _whole(found: Trace, *, thin: bool) -> bool:
    every = thin or found.taken <= len(found.samples)
    return every and not found.cut and len(found.events) < EVENTS


def _edges(found: Trace, since: float, until: float) -> list[float]:
    """Where to split a time: the answer has the newest of it, or not all samples."""
    times = [one.at for one in found.samples] + [one.at for one in found.events] or [since]
    low, high = (min(max(since, at), until) for at in (min(times), max(times)))
    # What was taken says how many pieces it will be; where it is thick they are split again.
    count = max(2, min(_MOST, -(-found.taken // POINTS) + 1))
    step = (high - low) / count
    edges = {since, *(min(low + step * n, until) for n in range(count + 1)), until}
    return sorted(edges if len(edges) > 2 else {*edges, (since + until) / 2})


def _key(one: "Sample") -> "tuple[int, Usage]":
    return round(one.clock * 1000), one.usage
