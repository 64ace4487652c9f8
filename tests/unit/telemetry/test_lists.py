"""Lists over time: every closed call and every session once, whichever files they are in."""

import sqlite3

from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account, Recorded
from agentcg.telemetry import recall, shelf
from agentcg.telemetry.dayfile import Span
from agentcg.telemetry.store import Store
from tests.unit.telemetry.samples import sample
from tests.unit.telemetry.stores import DAY, EVER, Bench, written


def account(n: int, at: float) -> Account:
    return Account(CallId(f"c-{n}"), SessionId("s-1"), "ls", at, Cause.EXITED)


def pages(one: Store, most: int) -> list[str]:
    found: list[Account] = []
    span, before = EVER, recall.LAST
    while True:
        page = recall.accounts(one, None, None, span, most, before=before)
        found += page
        if len(page) < most:
            return [call.call for call in found]
        span, before = Span(0.0, page[-1].declared_at), page[-1].call


def test_pages_have_each_call_once_though_it_closed_days_after_it_was_declared(
    bench: Bench,
) -> None:
    # A file a day: in the newest is the oldest, which ran for long.
    for days, calls in (
        (-2, [(1, 10.0), (2, 11.0)]),
        (-1, [(3, 20.0)]),
        (0, [(4, 30.0), (5, 1.0)]),
    ):
        bench.ahead = days * DAY
        one = bench.open()
        for n, at in calls:
            one.note(account(n, at))
        written(one)
        one.close()
    one = bench.open()
    one.note(account(6, 11.0))  # in no file yet, and at the same moment as another
    assert len(bench.files) >= 3
    for most in (1, 2, 3, 4, 100):
        assert pages(one, most) == ["c-4", "c-3", "c-6", "c-2", "c-1", "c-5"]


def test_an_account_is_found_by_its_call_in_whichever_file_and_in_none_yet(bench: Bench) -> None:
    for days in (-1, 0):
        bench.ahead = days * DAY
        one = bench.open()
        one.note(account(-days, 5.0))
        written(one)
        one.close()
    one = bench.open()
    one.note(account(2, 6.0))
    for n in range(3):
        found = recall.account(one, f"c-{n}")
        assert found is not None
        assert found.call == f"c-{n}"
    assert recall.account(one, "c-9") is None


def test_sessions_are_listed_by_what_is_recorded_of_themselves(bench: Bench) -> None:
    one = bench.open()
    for n in range(20):
        one.put("s-1", "", sample(n, at=1000.0))
    one.over("s-1", "")
    one.note(Event(1, 900.0, Kind.SESSION_OPENED, "s-1"))
    one.note(Event(2, 2000.0, Kind.SESSION_CLOSED, "s-2"))
    one.note(Event(4, 1500.0, Kind.PRESSURE))  # of no session
    written(one)
    one.close()
    bench.ahead = DAY
    one = bench.open()
    one.note(Event(3, 3000.0, Kind.SESSION_CLOSED, "s-1"))
    for _ in range(2):
        assert recall.recorded(one, None, EVER) == [
            Recorded(SessionId("s-1"), 900.0, 3000.0),
            Recorded(SessionId("s-2"), 2000.0, 2000.0),
        ]
        assert [r.session for r in recall.recorded(one, "s-2", EVER)] == ["s-2"]
        assert [r.session for r in recall.recorded(one, None, Span(1001.0, 1500.0))] == ["s-1"]
        assert recall.recorded(one, None, Span(4000.0, 5000.0)) == []
        written(one)


def test_a_session_lasts_to_its_last_sample_though_that_is_in_no_file(bench: Bench) -> None:
    one = bench.open()
    one.put("s-1", "", sample(0, at=1000.0))
    one.put("s-1", "", sample(50, at=1000.0))
    (found,) = recall.recorded(one, None, EVER)
    assert (found.session, found.since) == ("s-1", sample(0, at=1000.0).at)
    assert found.until == sample(50, at=1000.0).at > found.since
    assert recall.recorded(one, "s-2", EVER) == []
    assert recall.recorded(one, None, Span(0.0, 10.0)) == []


def test_a_damaged_file_costs_no_other(bench: Bench) -> None:
    for days in (-1, 0):
        bench.ahead = days * DAY
        one = bench.open()
        one.note(Event(1, 900.0, Kind.SESSION_OPENED, f"s-{-days}"))
        one.note(account(-days, 5.0 - days))
        written(one)
        one.close()
    with sqlite3.connect(shelf.kept(bench.folder)[-1].path) as db:
        db.execute("DROP TABLE event")
        db.execute("DROP TABLE account")
    db.close()
    one = bench.open()
    assert [r.session for r in recall.recorded(one, None, EVER)] == ["s-1"]
    assert [a.call for a in recall.accounts(one, None, None, EVER)] == ["c-1"]
