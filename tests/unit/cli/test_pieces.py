"""A course is read whole: every sample and event of it once, however much that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from agentcg.cli import pieces
from agentcg.errors import NotFoundError
from agentcg.model.call import Call
from agentcg.model.event import Event, Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Trace, Window
from agentcg.policy.thinning import thinned
from agentcg.telemetry import recall

ONE = SessionId("s-1")
EVER = 1e11


@dataclass
class Long:
    """A daemon with a course that has more than an answer; what was asked for."""

    samples: Sequence[Sample] = ()
    events: Sequence[Event] = ()
    most: int = 50_000
    call: Call | None = None
    asked: list[Window] = field(default_factory=list)

    def read(self, window: Window) -> Trace:
        self.asked.append(window)
        since, until = window.since or 0.0, window.until or EVER
        found = [one for one in self.samples if since <= one.at <= until]
        told = [one for one in self.events if since <= one.at <= until][-pieces.EVENTS :]
        taken = found[-self.most :]
        if not taken and not told and self.call is None:
            raise NotFoundError("nothing is remembered of it")
        shown, cut = tuple(thinned(taken, window.points)), len(found) > self.most
        return Trace(ONE, self.call, 7, 0, shown, tuple(told), len(taken), cut)


def long(samples: int, events: int, most: int = 50_000) -> Long:
    return Long(
        [Sample(100 + n / 10, n / 10, True, Usage(n)) for n in range(samples)],
        [Event(n, 100 + n / 50, Kind.PRESSURE, ONE) for n in range(events)],
        most,
    )


@pytest.mark.parametrize("until", [7000.0, EVER])
@pytest.mark.parametrize(
    ("samples", "events", "most"),
    [
        (1, 5000, 50_000),
        (1999, 3, 50_000),
        (60_000, 4000, 50_000),
        (12_000, 0, 1000),
        (0, 20_000, 1000),
    ],
)
def test_everything_is_read_once(samples: int, events: int, most: int, until: float) -> None:
    daemon = long(samples, events, most)
    found = pieces.course(daemon.read, 0.0, until)
    assert found.samples == daemon.samples
    assert found.events == daemon.events
    assert (found.whole, found.limit) == (True, 7)
    assert len(daemon.asked) < 300


def test_what_was_too_long_is_split_at_once() -> None:
    daemon = long(49_000, 0)
    assert pieces.course(daemon.read, 0.0, 5000.0).samples == daemon.samples
    assert len(daemon.asked) < 30


def test_where_a_sample_may_stand_for_several_less_is_asked_for() -> None:
    daemon = long(49_000, 0)
    found = pieces.course(daemon.read, 0.0, 5000.0, thin=True)
    assert len(found.samples) <= pieces.POINTS
    assert found.whole
    assert len(daemon.asked) == 1


@pytest.mark.parametrize(("samples", "events"), [(9000, 0), (0, 2500)])
def test_what_is_all_at_one_moment_ends_and_is_told(samples: int, events: int) -> None:
    daemon = long(samples, events)
    daemon.samples = [replace(one, at=500.0) for one in daemon.samples]
    daemon.events = [replace(one, at=500.0) for one in daemon.events]
    found = pieces.course(daemon.read, 0.0, 1e9)
    assert found.samples or found.events
    assert not found.whole
    assert len(daemon.asked) < 300


def test_an_answer_has_so_many_events() -> None:
    assert pieces.EVENTS == recall.EVENTS


def test_an_empty_part_of_a_session_costs_no_other_part() -> None:
    daemon = long(100, 0)
    daemon.samples = [replace(s, at=s.at + 1e6) for s in long(3000, 0).samples] + [
        *long(3000, 0).samples
    ]
    found = pieces.course(daemon.read, 0.0, 2e6)
    assert sorted(s.at for s in found.samples) == sorted(s.at for s in daemon.samples)
    with pytest.raises(NotFoundError):
        pieces.course(daemon.read, 5000.0, 6000.0)


def test_a_call_that_is_forgotten_meanwhile_is_told() -> None:
    daemon = long(9000, 0)
    daemon.call = Call(CallId("c-1"), ONE, Intent(), Grant())

    def read(window: Window) -> Trace:
        if len(daemon.asked) == 3:
            raise NotFoundError("call c-1: gone")
        return daemon.read(window)

    found = pieces.pieces(read, 0.0, 1000.0)
    assert next(found).trace.samples
    with pytest.raises(NotFoundError):
        list(found)
