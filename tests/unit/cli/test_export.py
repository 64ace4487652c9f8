"""`agentcg export`: complete, safe to open, and never over a device."""

import csv
import datetime
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcg.cli import pieces
from agentcg.cli.export.gather import Gatherer
from agentcg.cli.export.items import COLUMNS, CallItem, EventItem, Item, SessionItem
from agentcg.cli.export.perfetto import Perfetto
from agentcg.cli.times import day
from agentcg.client import Client
from agentcg.errors import NotFoundError
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account, Recorded, Trace, Window
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run
from tests.unit.cli.courses import AT, MIB, NASTY, course

DAY = datetime.datetime.fromtimestamp(AT).astimezone().date().isoformat()


@pytest.fixture(autouse=True)
def recorded(server: Running) -> None:
    control = server.controller
    control.add("c-aaaa2222", Intent(command=NASTY), Grant(), session=HOME)
    control.traces["c-aaaa2222"] = course()
    control.traces[HOME] = replace(course(), call=None, limit=None)


def account(call: str, at: float, session: str = HOME) -> Account:
    return Account(CallId(call), SessionId(session), "make", at, Cause.EXITED, wall=5.0)


def slices(text: str) -> dict[str, dict[str, Any]]:
    events = json.loads(text)["traceEvents"]
    return {one["args"]["call"]: one for one in events if one["ph"] == "X"}


def test_a_session_in_perfetto_has_slices_counters_and_kills(cli: Run) -> None:
    code, out, err = cli("export", "s-home")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    events = json.loads(out)["traceEvents"]
    assert events[0]["args"]["name"] == "session s-home"
    assert set(slices(out)) == {"c-aaaa2222"}
    assert all(one["dur"] >= 0 for one in slices(out).values())
    counters = {one["name"] for one in events if one["ph"] == "C"}
    assert {"memory", "CPU", "memory, calls 1", "CPU, calls 1"} <= counters
    # The burst is there with its height.
    tops = [one["args"]["bytes"] for one in events if one["name"] == "memory"]
    assert max(tops) == max(one.usage.peak or 0 for one in course().samples)
    assert any(one["ph"] == "i" for one in events)


def test_jsonl_and_csv_have_each_sample_and_no_formula(cli: Run, server: Running) -> None:
    server.controller.traces[HOME] = replace(
        course(), session=SessionId("=1+1"), call=None, limit=None
    )
    lines = [
        json.loads(line)
        for line in cli("export", "s-home", "--format", "jsonl")[1].split("\n")
        if line
    ]
    kinds = {one["type"] for one in lines}
    assert kinds == {"session", "call", "sample", "event"}
    samples = [one for one in lines if one["type"] == "sample"]
    assert len(samples) == 2 * len(course().samples)
    code, out, _ = cli("export", "s-home", "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == len(samples)
    assert set(rows[0]) == set(COLUMNS)
    assert float(rows[0]["at"]) == round(course().samples[0].at, 3)


def test_a_day_has_closed_calls_and_sessions_and_goes_on_where_one_is_forgotten(
    cli: Run, server: Running
) -> None:
    control = server.controller
    meant = day(DAY)
    assert meant is not None
    _, begin, end = meant
    control.past_calls.recorded += [Recorded(SessionId("s-gone"), begin, end)]
    control.past_calls.recorded += [Recorded(HOME, begin, end)]
    control.past_calls.accounts += [
        account("c-old", begin + 50),
        account("c-lost", begin + 60),
        account("c-eve", begin - 9),
        account("c-ago", begin - 9000),
        account("c-aaaa2222", AT),
    ]
    control.traces["c-old"] = course()
    code, out, err = cli("export", DAY, "--format", "jsonl")
    assert code == 0
    assert "s-gone: nothing of it is recorded" in err
    assert "c-old: its record is no longer kept" in err
    lines = [json.loads(line) for line in out.splitlines()]
    calls = [one["call"] for one in lines if one["type"] == "call"]
    # The others were over before that day.
    assert sorted(calls) == ["c-aaaa2222", "c-lost", "c-old"]
    assert "c-lost: its samples are forgotten and left out" in err
    assert sum(one["type"] == "sample" and one["call"] == "c-old" for one in lines) == 600
    assert cli("export", "2026-02-30")[0] == 2


def test_a_session_that_is_named_like_a_day_or_a_call_can_be_meant(
    cli: Run, server: Running
) -> None:
    for name in ("2026-11-22", "c-aaaa2222"):
        home = server.controller.kept[HOME]
        server.controller.kept[SessionId(name)] = replace(home, id=SessionId(name))
        code, out, err = cli("export", f"session:{name}", "--format", "jsonl")
        assert (code, err) == (0, "")
        assert json.loads(out.splitlines()[0]) == {"type": "session", "session": name}


def test_a_call_that_closes_during_the_export_is_in_it(server: Running) -> None:
    control = server.controller
    with Client(server.admin) as daemon:
        items = Gatherer(daemon, 0.0, 1e11, AT, lambda _: None).session(HOME)
        first = next(items)
        view = control.views[CallId("c-aaaa2222")]
        ended = replace(view.call, state=CallState.CLOSED, ended_at=view.call.declared_at + 1)
        control.views[ended.id] = replace(view, call=ended)
        control.past_calls.accounts.append(account("c-aaaa2222", ended.declared_at))
        rest = list(items)
    assert isinstance(first, SessionItem)
    assert [one.record for one in rest if isinstance(one, CallItem)] == [ended]


def test_what_cannot_be_told_at_once_is_told() -> None:
    told: list[str] = []
    crowd = tuple(Event(n, 500.0, Kind.PRESSURE, "s-1") for n in range(pieces.EVENTS))

    def read(window: Window) -> Trace:
        meant = (window.since or 0.0) <= 500.0 <= (window.until or 1e12)
        return Trace(HOME, None, None, 0, (), crowd if meant else ())

    gatherer = Gatherer(None, 0.0, 1e9, 1e9, told.append)  # type: ignore[arg-type]
    items = list(gatherer._course("s-1", "", read))
    assert [one.event for one in items if isinstance(one, EventItem)] == list(crowd)
    assert told == [f"s-1: {pieces.LEFT_OUT}"]
    assert gatherer.incomplete


def test_overlapping_calls_have_rows_of_their_own() -> None:
    def bar(name: str, begin: float, end: float) -> Item:
        record = Call(CallId(name), HOME, Intent(), Grant(), declared_at=begin)
        return CallItem(record, begin, end, end)

    items = [SessionItem("s"), bar("c-3", 9, 10), bar("c-2", 5, 9.5), bar("c-1", 0, 5)]
    found = slices("".join(Perfetto().text(iter(items))))
    assert found["c-3"]["tid"] == found["c-1"]["tid"] == 1
    assert found["c-2"]["tid"] == 2


def test_nothing_that_is_not_there_is_written_over(cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.write_text("old")
    code, _, err = cli("export", "c-none", "-o", str(file))
    assert code == 1
    assert "c-none" in err
    assert file.read_text() == "old"
    assert cli("export", "c-aaaa2222", "-o", str(file))[0] == 0
    assert slices(file.read_text())


def test_parquet_names_its_extra_where_it_is_missing(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    file = tmp_path / "x.parquet"
    code, _, err = cli("export", "s-home", "--format", "parquet", "-o", str(file))
    assert code == 1
    assert "pip install 'agentcg[parquet]'" in err
    assert list(tmp_path.glob("*parquet*")) == []


def test_parquet_has_the_columns_of_csv(cli: Run, tmp_path: Path) -> None:
    reader = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "x.parquet"
    assert cli("export", "s-home", "--format", "parquet", "-o", str(file))[0] == 0
    table = reader.read_table(file)
    assert tuple(table.column_names) == COLUMNS
    assert table.num_rows == 2 * len(course().samples)


def test_a_call_that_is_forgotten_while_it_is_read_is_told(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> Trace:
        raise NotFoundError("gone")

    told: list[str] = []
    with Client(server.admin) as daemon:
        monkeypatch.setattr(daemon, "call_trace", gone)
        items = list(Gatherer(daemon, 0.0, 1e11, AT, told.append).session(HOME))
    assert [one.call for one in items if isinstance(one, CallItem)] == ["c-aaaa2222"]
    assert "c-aaaa2222" in told[0]
    assert MIB
