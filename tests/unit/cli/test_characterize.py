"""`agentcg characterize`: every reading is asked for, and every figure is printed."""

import csv
import io
import json
import re
import time
from dataclasses import replace

import pytest

from agentcg.api.controller import Caller
from agentcg.errors import NotFoundError
from agentcg.model.call import Call, CallState
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause
from agentcg.model.sample import Counters, Usage
from agentcg.model.trace import Account, Recorded, Trace, Window
from agentcg.model.view import CallView
from agentcg.policy.thinning import thinned
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run
from tests.unit.cli.courses import AT, MIB, course


@pytest.fixture(autouse=True)
def recorded(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of a minute, of whose samples an answer has a few."""
    monkeypatch.setattr("agentcg.cli.pieces.POINTS", 100)
    whole = replace(course(), call=None)

    async def session_trace(caller: Caller, session: SessionId, window: Window) -> Trace:
        since, until = window.since or 0.0, window.until or 1e12
        taken = [s for s in whole.samples if since <= s.at <= until]
        samples = tuple(thinned(taken, window.points))
        return replace(whole, session=session, samples=samples, taken=len(taken))

    server.controller.session_trace = session_trace  # type: ignore[method-assign]
    known = server.controller.past_calls
    known.recorded = [Recorded(HOME, AT, AT + 60)]
    known.accounts = [
        Account(CallId(f"c-{n}"), HOME, "=make", AT + n, Cause.EXITED, 1.0, 0.5, MIB)
        for n in range(3)
    ]


def figures(cli: Run, *words: str) -> dict[tuple[str, str], str]:
    code, out, err = cli("characterize", "--since", "3650d", "-o", "csv", *words)
    assert (code, err) == (0, "")
    return {(row["table"], row["figure"]): row["value"] for row in csv.DictReader(io.StringIO(out))}


def test_the_figures_are_of_all_readings(cli: Run) -> None:
    found = figures(cli)
    assert float(found["task", "seconds"]) == pytest.approx(59.9)
    assert int(found["task", "peak"]) == 1900 * MIB
    assert found["task", "retries"] == "3"
    assert float(found["fleet", "in_calls"]) == pytest.approx(3 / 59.9)
    assert float(found["class", "share"]) == 1.0
    higher = figures(cli, "--burst", "1500MiB")
    assert float(higher["fleet", "burst_most"]) == pytest.approx(0.1)


def test_it_is_printed_as_tables_and_as_json(cli: Run) -> None:
    code, out, _ = cli("characterize", "--since", "3650d")
    assert code == 0
    assert "retry groups" in out
    assert "=make" in out
    code, out, _ = cli("characterize", "--since", "3650d", "-o", "json")
    assert json.loads(out)["tasks"][0]["session"] == HOME
    _, out, _ = cli("characterize", "--since", "3650d", "-o", "csv")
    assert "'=make" in out


def test_time_in_calls_is_that_of_open_and_of_earlier_ones_too(cli: Run, server: Running) -> None:
    told = server.controller
    told.views.clear()
    record = Call(CallId("c-open"), HOME, Intent("make"), Grant(), CallState.RUNNING, AT + 50)
    told.views[record.id] = CallView(record, Counters())
    assert float(figures(cli)["task", "in_calls"]) == pytest.approx(3 + 9.9)
    early = Account(CallId("c-early"), HOME, "=make", AT - 3600, Cause.EXITED, 3610.0)
    told.past_calls.accounts.append(early)
    found = figures(cli, "--since", f"{time.time() - AT + 1800:.0f}s")
    assert float(found["task", "in_calls"]) == pytest.approx(10 + 9.9)
    assert found["task", "calls"] == "3"


def test_a_session_whose_samples_are_gone_is_no_task(cli: Run, server: Running) -> None:
    async def session_trace(*_: object) -> Trace:
        raise NotFoundError("nothing is remembered of it")

    server.controller.session_trace = session_trace  # type: ignore[method-assign,assignment]
    code, out, err = cli("characterize", "--since", "3650d", "-o", "json")
    assert code == 0
    assert f"session {HOME}: its samples are not remembered any more; left out" in err
    assert json.loads(out)["tasks"] == []


def test_what_was_not_measured_is_a_dash(cli: Run, server: Running) -> None:
    without = [replace(s, usage=Usage(cpu=s.clock)) for s in course().samples if s.full]

    async def session_trace(caller: Caller, session: SessionId, window: Window) -> Trace:
        since, until = window.since or 0.0, window.until or 1e12
        found = tuple(s for s in without if since <= s.at <= until)
        return Trace(session, None, None, 0, found, (), len(found))

    server.controller.session_trace = session_trace  # type: ignore[method-assign]
    told = server.controller.past_calls
    told.accounts = [replace(one, peak=None) for one in told.accounts]
    _, out, _ = cli("characterize", "--since", "3650d")
    assert "0 B" not in out
    assert "Of 1 tasks - have bursts" in out
    assert re.search(rf"^{HOME} +59 s +5\.1% +3 +- +- +- +- +1$", out, re.MULTILINE)


def test_nothing_is_said_to_be_nothing(cli: Run, server: Running) -> None:
    server.controller.past_calls.recorded.clear()
    server.controller.past_calls.accounts.clear()
    assert cli("characterize")[1] == "nothing was recorded in that time\n"
