"""What is recorded is read whole: every page, and every part of a course once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agentcg.cli import past
from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Account, Recorded, Trace, Window
from agentcg.telemetry import recall
from tests.unit.api.past import Past

ONE = SessionId("s-1")
MANY = 1200
PAST = Past(
    [Account(CallId(f"c-{n:05}"), ONE, "ls", float(n), Cause.EXITED) for n in range(MANY)],
    [Recorded(SessionId(f"s-{n:05}"), 1.0, 2.0) for n in range(MANY)],
)


class Damaged:
    """A daemon of whose answers one row each is left out, as damaged ones are."""

    def accounts(self, window: Window, name: str | None, before: str | None) -> Sequence[Account]:
        return PAST.page(name, window, before)[1:] or PAST.page(name, window, before)

    def recorded(self, window: Window, name: str | None, after: str | None) -> Sequence[Recorded]:
        return PAST.sessions(name, window, after)[1:] or PAST.sessions(name, window, after)


def test_a_short_page_is_not_taken_for_the_last() -> None:
    calls = past.accounts(Damaged(), 0.0, past.EVER, None)  # type: ignore[arg-type]
    assert (calls[-1].call, len(calls)) == ("c-00000", MANY - 2)
    names = past.sessions(Damaged(), 0.0, past.EVER, None)  # type: ignore[arg-type]
    assert (names[-1].session, len(names)) == ("s-01199", MANY - 2)


@dataclass
class Long:
    """A session's course that has more than an answer; what was asked for."""

    samples: Sequence[Sample] = ()
    events: Sequence[Event] = ()
    most: int = 50_000
    asked: list[Window] = field(default_factory=list)

    def read(self, window: Window) -> Trace:
        self.asked.append(window)
        since, until = window.since or 0.0, window.until or past.EVER
        found = [one for one in self.samples if since <= one.at <= until]
        told = [one for one in self.events if since <= one.at <= until][-past.EVENTS :]
        taken = found[-self.most :]
        cut = len(found) > self.most
        return Trace(ONE, None, None, 0, tuple(taken), tuple(told), len(taken), cut)


def test_what_was_too_long_is_split_at_once() -> None:
    samples = [Sample(float(n), float(n), False, Usage(n)) for n in range(49_000)]
    long = Long(samples)
    found = past.course(
        long.read,
        Window(0.0, 49_000.0, past.SAMPLES),
        lambda one: one.taken <= past.SAMPLES and not one.cut,
    )
    assert [one.at for one in found.samples] == [one.at for one in samples]
    assert len(long.asked) == 27


def test_of_what_is_split_no_part_is_much_too_short() -> None:
    long = Long([Sample(n / 100, n / 100, False, Usage(n)) for n in range(9000)], most=100)
    found = past.course(long.read, Window(0.0, 90.0), lambda one: not one.cut)
    assert found.cut
    assert [one.until for one in long.asked] == [90.0, 45.0, 90.0]


def test_an_answer_that_is_full_of_events_is_split_too() -> None:
    assert past.EVENTS == recall.EVENTS
    told = [Event(n, float(n), Kind.CALL_OOM, ONE) for n in range(2500)]
    long = Long(events=told)
    found = past.course(long.read, Window(0.0, 2500.0), lambda one: len(one.events) < past.EVENTS)
    assert [one.seq for one in found.events] == list(range(2500))
    assert not found.unheard
    crowded = Long(events=[replace(one, at=5.0) for one in told])
    assert past.course(crowded.read, Window(0.0, 10.0), lambda _: False).unheard
