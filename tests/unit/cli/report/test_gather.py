"""What a report is made of: each call once, sessions that are known by their calls, its notes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from agentcg.cli import past, pieces
from agentcg.cli.report import gather
from agentcg.cli.report.page import page
from agentcg.errors import NotFoundError
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause
from agentcg.model.sample import Counters
from agentcg.model.trace import Account, Recorded, Trace, Window
from agentcg.model.view import CallView
from tests.unit.api.past import Past
from tests.unit.cli.courses import AT, course

ONE = SessionId("s-home")


def account(n: int, at: float, wall: float) -> Account:
    return Account(CallId(f"c-{n}"), ONE, "make", at, Cause.EXITED, wall)


def opened(n: int) -> Call:
    return Call(CallId(f"c-{n}"), ONE, Intent("make"), Grant(), CallState.RUNNING, AT + n)


@dataclass
class Daemon:
    """A daemon with one session, closed; a call of it may close while the lists are read."""

    past: Past = field(default_factory=Past)
    open_calls: list[Call] = field(default_factory=list)
    closing: list[Account] = field(default_factory=list)
    trace: Trace = field(default_factory=lambda: replace(course(), call=None, limit=None))
    lost: int = 0

    def _goes_on(self) -> None:
        self.past.accounts += self.closing
        gone = {one.call for one in self.closing}
        self.open_calls = [one for one in self.open_calls if one.id not in gone]
        self.closing = []

    def sessions(self) -> Sequence[object]:
        return []

    def calls(self) -> Sequence[CallView]:
        try:
            return [CallView(one, Counters()) for one in self.open_calls]
        finally:
            self._goes_on()

    def accounts(self, window: Window, name: str | None, before: str | None) -> Sequence[Account]:
        try:
            return self.past.page(name, window, before)
        finally:
            self._goes_on()

    def recorded(self, window: Window, name: str | None, after: str | None) -> Sequence[Recorded]:
        return self.past.sessions(name, window, after)

    def session_trace(self, name: SessionId, window: Window) -> Trace:
        self.lost += 1
        since, until = window.since or 0.0, window.until or past.EVER
        told = [one for one in self.trace.events if since <= one.at <= until][-pieces.EVENTS :]
        return replace(self.trace, session=name, events=tuple(told), lost=self.lost)

    def call_trace(self, name: str, _: Window) -> Trace:
        raise NotFoundError(f"no call {name}")

    call = call_trace


def of_day(daemon: Daemon) -> gather.Material:
    return gather.of_day(daemon, "today", AT - 100, AT + 50_000)  # type: ignore[arg-type]


def test_a_call_that_closes_meanwhile_is_in_the_report_once() -> None:
    daemon = Daemon(open_calls=[opened(1), opened(2)], closing=[account(1, AT + 1, 5.0)])
    daemon.past.recorded = [Recorded(ONE, AT, AT + 60)]
    made = gather.of_session(daemon, ONE)  # type: ignore[arg-type]
    assert sorted(bar.call for bar in made.sections[0].bars) == ["c-1", "c-2"]
    assert [one.id for one in made.open_calls] == ["c-2"]


def test_a_session_known_by_its_calls_was_there_from_the_first_to_the_last() -> None:
    daemon = Daemon(Past([account(1, AT, 5.0), account(2, AT + 10, 90.0), account(3, AT + 20, 1)]))
    assert of_day(daemon).sessions == [Recorded(ONE, AT, AT + 100)]


def test_samples_that_were_lost_are_told_once() -> None:
    daemon = Daemon(Past([], [Recorded(SessionId(f"s-{n}"), AT, AT + 60) for n in range(5)]))
    assert of_day(daemon).notes == ["5 samples could not be recorded since the daemon started"]


def test_all_events_are_read_and_those_that_are_not_drawn_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = [Event(n, AT + n, Kind.CALL_OOM, ONE) for n in range(3000)]
    daemon = Daemon(Past([], [Recorded(ONE, AT, AT + 3000)]))
    daemon.trace = replace(daemon.trace, events=tuple(told))
    made = of_day(daemon)
    assert len(made.sections[0].course.events) == 3000
    assert b"of 60 events the last" not in page(made)
    monkeypatch.setattr("agentcg.cli.report.plots.MARKS", 20)
    assert b"of 60 events the last 20 are marked" in page(made)
    daemon.trace = replace(daemon.trace, events=tuple(replace(one, at=AT) for one in told))
    assert f"session {ONE}: {pieces.LEFT_OUT}" in (of_day(daemon).notes)
