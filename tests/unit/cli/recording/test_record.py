"""`agentcg record`: what it asks for, and what it writes."""

import gzip
import json
import stat
from pathlib import Path

import pytest

from agentcg.api.controller import Caller
from agentcg.cli import pieces
from agentcg.cli.recording import gather, lines
from agentcg.cli.recording.lines import Course
from agentcg.client import Client
from agentcg.errors import NotFoundError, UnsupportedError
from agentcg.model.call import Call
from agentcg.model.event import Event
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.trace import Recorded, Trace, Window
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run
from tests.unit.cli.courses import AT, MIB, course

TRACE = course()


@pytest.fixture
def one(server: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A call with a trace of 600 samples, of which an answer has 100 at most, and its session."""
    server.controller.add("c-aaaa2222", Intent(command="pytest"), Grant(), session=HOME)

    def events(window: Window) -> tuple[Event, ...]:
        begin, end = window.since or 0.0, window.until or 1e12
        return tuple(e for e in TRACE.events if begin <= e.at <= end)

    async def session_trace(_: Caller, session: SessionId, window: Window) -> Trace:
        return Trace(session, None, None, 0, (), events(window))

    async def call_trace(_: Caller, call: CallId, window: Window) -> Trace:
        begin, end = window.since or 0.0, window.until or 1e12
        inside = [s for s in TRACE.samples if begin <= s.at <= end]
        kept = tuple(inside[: window.points])
        return Trace(HOME, TRACE.call, None, 0, kept, events(window), len(inside))

    monkeypatch.setattr(server.controller, "call_trace", call_trace)
    monkeypatch.setattr(server.controller, "session_trace", session_trace)
    monkeypatch.setattr(pieces, "POINTS", 100)
    return server


def test_all_samples_and_events_are_there_once(one: Running) -> None:
    said: list[str] = []
    with Client(one.admin) as daemon:
        found = list(gather.records(daemon, AT - 1, AT + 61, said.append))
    courses = [record for record in found if isinstance(record, Course)]
    assert [s for c in courses for s in c.samples] == list(TRACE.samples)
    assert [e for e in found if isinstance(e, Event)] == list(TRACE.events)
    assert len([c for c in found if isinstance(c, Call)]) == 1
    assert said == []


def test_one_that_is_forgotten_meanwhile_is_told_and_the_rest_goes_on(
    one: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.controller.add("c-b", Intent(), Grant(), session=HOME)
    whole = one.controller.call_trace

    async def call_trace(caller: Caller, call: CallId, window: Window) -> Trace:
        if call == "c-b":
            raise NotFoundError("call c-b: gone")
        return await whole(caller, call, window)

    monkeypatch.setattr(one.controller, "call_trace", call_trace)
    said: list[str] = []
    with Client(one.admin) as daemon:
        found = list(gather.records(daemon, AT - 1, AT + 61, said.append))
    assert said == ["left out: call c-b: gone"]
    assert sum(len(c.samples) for c in found if isinstance(c, Course)) == 600


def test_of_a_closed_session_every_part_is_there_also_behind_an_empty_one(
    one: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples are in the last minute of an hour: each half without any is answered with 404."""
    one.controller.past_calls.recorded.append(Recorded(SessionId("s-gone"), AT, AT + 60))

    async def session_trace(_: Caller, session: SessionId, window: Window) -> Trace:
        begin, end = window.since or 0.0, window.until or 1e12
        inside = [s for s in TRACE.samples if begin <= s.at <= end and session == "s-gone"]
        if not inside:
            raise NotFoundError(f"session {session!r}: nothing is remembered")
        return Trace(session, None, MIB, 0, tuple(inside[: window.points]), (), len(inside))

    monkeypatch.setattr(one.controller, "session_trace", session_trace)
    said: list[str] = []
    with Client(one.admin) as daemon:
        found = list(gather.records(daemon, AT - 3600, AT + 61, said.append))
    gone = [r for r in found if isinstance(r, Course) and r.session == "s-gone"]
    assert [s for course in gone for s in course.samples] == list(TRACE.samples)
    assert {course.limit for course in gone} == {MIB}
    assert said == ["left out: session 's-home': nothing is remembered"]


def test_a_page_without_a_damaged_record_is_not_the_last(
    one: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [Call(CallId(f"c-{n}"), HOME, Intent(), Grant(), declared_at=AT + n) for n in range(9)]

    async def lived(_: Caller, window: Window) -> list[Call]:
        page = [call for call in calls[::-1] if call.declared_at <= (window.until or 1e12)][:4]
        return [call for call in page if call.id != "c-7"]

    monkeypatch.setattr(one.controller, "lived", lived)
    with Client(one.admin) as daemon:
        found = list(gather.records(daemon, AT, AT + 61, lambda _: None))
    names = [record.id for record in found if isinstance(record, Call)]
    assert names == ["c-0", "c-1", "c-2", "c-3", "c-4", "c-5", "c-6", "c-8"]


def test_where_nothing_is_recorded_no_file_is_made(
    one: Running, cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def recorded(*_: object) -> None:
        raise UnsupportedError("nothing is recorded here: set traces.enabled")

    monkeypatch.setattr(one.controller, "recorded", recorded)
    name = tmp_path / "none/x.gz"  # which could not be made, and is not tried
    code, _, err = cli("record", "-o", str(name))
    assert code != 0
    assert "set traces.enabled" in err


def test_a_file_is_written_and_read(one: Running, cli: Run, tmp_path: Path) -> None:
    name = tmp_path / "x.gz"
    code, out, err = cli("record", "-o", str(name), "--since", "2026-05-01", "--until", "0s")
    assert (code, out) == (0, "")
    assert "written" in err
    with name.open("rb") as file:
        assert len(list(lines.read("x", file))) > 10
    assert stat.S_IMODE(name.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*.gz*")] == ["x.gz"]
    assert list(json.loads(gzip.decompress(name.read_bytes()).splitlines()[0])) == ["head"]


def test_wrong_times_are_refused_with_a_remedy(cli: Run, one: Running) -> None:
    code, _, err = cli("record", "--since", "yesterday")
    assert code == 2
    assert "2026-11-22T09:30" in err
    code, _, err = cli("record", "--since", "1m", "--until", "2m")
    assert code == 2
    assert "swap them" in err
