"""`-o csv` of commands that list: what JSON has of each row, and nothing that a sheet would run."""

import csv
import io
from dataclasses import asdict, replace

import pytest

from agentcg.cli.output import Sheet
from agentcg.cli.probe import _counted, _print
from agentcg.model.event import Event, Kind
from agentcg.model.grant import Grant
from agentcg.model.intent import Intent
from agentcg.model.sample import Counters
from agentcg.model.traced import Question, SyscallStats, Traced
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run

NASTY = "=cmd()\x1b]0;x\x07\u202e"
SHOWN = "'=cmd()\\x1b]0;x\\x07\\u202e"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_ps_has_a_row_for_each_call(cli: Run, server: Running) -> None:
    assert rows(cli("ps", "-o", "csv")[1]) == []
    used = Counters(memory=5 << 20, cpu=1.5)
    server.controller.add("c-1", Intent(command=NASTY), Grant(memory_limit=8), session=HOME)
    view = next(iter(server.controller.views.values()))
    server.controller.views[view.call.id] = type(view)(view.call, used)
    (one,) = rows(cli("ps", "-o", "csv")[1])
    assert (one["id"], one["session"], one["command"]) == ("c-1", HOME, SHOWN)
    assert (one["memory"], one["limit"], one["cpu"]) == (str(5 << 20), "8", "1.5")
    assert one["peak"] == one["cause"] == ""


def test_status_has_a_row_for_each_session_and_doctor_for_each_mechanism(
    cli: Run, server: Running
) -> None:
    (home,) = rows(cli("status", "-o", "csv")[1])
    assert (home["id"], home["open_calls"]) == (HOME, "0")
    found = rows(cli("doctor", "-o", "csv")[1])
    assert [(one["mechanism"], one["works"]) for one in found] == [("memory", "1"), ("io", "0")]


def test_events_are_rows_with_their_data_as_json(cli: Run, server: Running) -> None:
    server.controller.past = []
    assert cli("events", "-o", "csv")[1].strip() == "seq,at,kind,session,call,text,data"
    told = Event(7, 3.0, Kind.CALL_OOM, HOME, "c-1", NASTY, {"peak": 5})
    server.controller.past = [told, Event(8, 4.0, Kind.DAEMON)]
    first, second = rows(cli("events", "-o", "csv")[1])
    assert (first["seq"], first["kind"], first["text"]) == ("7", "call.oom", SHOWN)
    assert (first["data"], second["data"]) == ('{"peak": 5}', "")


def test_what_a_probe_saw_is_rows(capsys: pytest.CaptureFixture[str]) -> None:
    one = Traced(1.0, 9, 7, "make", NASTY, -2, 0.5)
    _print(one, "c-1", Question.OPEN, Sheet.CSV)
    seen = next(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert seen == ["c-1", "1.0", "9", "7", "make", SHOWN, "-2", "0.5", ""]
    _print(replace(one, pid=0, bytes=4096), "c-1", Question.BLOCKIO, Sheet.CSV)
    seen = next(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert (seen[3], seen[-1]) == ("", "4096")
    _counted([SyscallStats("read", 3, 1, 0.5)], Sheet.CSV)
    (counted,) = rows(capsys.readouterr().out)
    assert counted == {"name": "read", "calls": "3", "errors": "1", "took": "0.5"}
    assert set(counted) == set(asdict(SyscallStats("", 0, 0, 0)))
