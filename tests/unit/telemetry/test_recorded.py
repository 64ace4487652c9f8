"""What there was in a time: closed calls of all files in one order, and sessions."""

from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account
from agentcg.telemetry import recall
from agentcg.telemetry.dayfile import Span
from tests.unit.telemetry.samples import sample
from tests.unit.telemetry.stores import DAY, EVER, Bench, written


def account(call: str, at: float, wall: float = 1.0, session: str = "s-1") -> Account:
    return Account(CallId(call), SessionId(session), "make", at, Cause.EXITED, wall=wall)


def test_a_page_is_of_all_files_whenever_a_call_closed(bench: Bench) -> None:
    bench.ahead = -DAY
    one = bench.open()
    one.note(account("c-b", 200.0))
    one.note(account("c-d", 400.0))
    written(one)
    one.close()
    bench.ahead = 0.0
    # It was declared before all of them and closed in the next day's file.
    one = bench.open()
    one.note(account("c-a", 100.0, 90_000.0))
    written(one)
    for row in (account("c-c", 300.0), account("c-x", 350.0, session="s-2")):
        one.note(row)
    assert [a.call for a in recall.closed(one, "s-1", EVER, 2)] == ["c-d", "c-c"]
    assert [a.call for a in recall.closed(one, "s-1", Span(0, 300.0), 9)] == ["c-c", "c-b", "c-a"]
    assert [a.call for a in recall.closed(one, None, EVER, 9)][1] == "c-x"
    # It was still there.
    written(one)
    assert [a.call for a in recall.closed(one, None, Span(80_000.0, 1e6), 9)] == ["c-a"]


def test_sessions_are_known_by_what_was_recorded_in_that_time(bench: Bench) -> None:
    one = bench.open()
    one.put("s-2", "", sample(0, at=1000.0))
    one.put("s-1", "c-1", sample(0, at=5000.0))
    one.over("s-2", "")
    one.over("s-1", "c-1")
    written(one)
    assert recall.sessions(one, EVER) == ["s-1", "s-2"]
    assert recall.sessions(one, Span(900.0, 1100.0)) == ["s-2"]
