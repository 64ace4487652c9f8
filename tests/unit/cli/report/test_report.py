"""`agentcg report`: whole, harmless, and over everything that was recorded."""

import datetime
import math
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.api.controller import Caller
from agentcg.cli import past
from agentcg.cli.times import day
from agentcg.errors import BadValueError, NotFoundError
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Account, Recorded, Trace, Window
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run
from tests.unit.cli.courses import AT, MIB, NASTY, course
from tests.unit.cli.report.documents import Document, declarations

DAY = datetime.datetime.fromtimestamp(AT).astimezone().date().isoformat()


def account(n: int, session: str = HOME, cause: Cause = Cause.EXITED, at: float = AT) -> Account:
    figures = (2.0, 1.0, 100 * MIB, 0.0, None, 0, 400 * MIB, None, 400 * MIB, 0)
    return Account(CallId(f"c-{n:05}"), SessionId(session), "pytest", at, cause, *figures)


@pytest.fixture(autouse=True)
def recorded(server: Running) -> None:
    """A session that is closed, with a call that was killed for memory."""
    told, known = server.controller, server.controller.past_calls
    del told.kept[HOME]
    known.recorded = [Recorded(HOME, AT, AT + 60)]
    known.accounts = [replace(account(1, cause=Cause.OOM), call=CallId("c-aaaa2222"))]
    told.traces["c-aaaa2222"] = course(command=NASTY)
    told.traces[HOME] = replace(course(), call=None, limit=None)
    serve(server, told.traces)


def serve(server: Running, traces: dict[str, Trace]) -> list[Window]:
    """Answer for closed sessions as the daemon does: what of that time there is, or nothing."""
    asked: list[Window] = []

    async def session_trace(caller: Caller, session: SessionId, window: Window) -> Trace:
        asked.append(window)
        since, until = window.since or 0.0, window.until or 1e12
        found = traces.get(session)
        samples = [s for s in found.samples if since <= s.at <= until] if found else []
        if found is None or not samples:
            raise NotFoundError(f"session {session}: nothing is remembered of it")
        return replace(found, samples=tuple(samples), cut=found.cut and until - since > 130)

    server.controller.session_trace = session_trace  # type: ignore[method-assign]
    return asked


def made(cli: Run, what: str = HOME) -> Document:
    code, out, err = cli("report", what, "-o", "-")
    assert (code, err) == (0, "")
    return Document(out)


def test_a_closed_session_is_reported_with_its_plots(cli: Run) -> None:
    found = made(cli)
    names = [attrs["aria-label"] for attrs in found.found["svg"]]
    assert names == [
        f"Memory of {HOME}",
        f"Calls of {HOME}",
        f"Pressure of {HOME}",
        "Memory of a call",
    ]
    assert "c-aaaa2222" in found.text
    assert {"oom", "cross", "bound", "kept", "psi-memory"} <= found.classes()
    assert re.search(r"killed for memory\s+1\b", found.text)


def test_a_session_that_is_named_like_a_day_can_be_meant(cli: Run, server: Running) -> None:
    known, name = server.controller.past_calls, SessionId("2026-11-22")
    known.recorded = [Recorded(name, AT, AT + 60)]
    serve(server, {name: replace(course(), call=None)})
    assert f"agentcg: session {name}" in made(cli, f"session:{name}").text
    assert f"agentcg: day {name}" in made(cli, name).text


def test_what_was_not_measured_is_a_dash(cli: Run, server: Running) -> None:
    known = server.controller.past_calls
    known.accounts = [replace(account(n, f"s-{n}", at=AT), peak=None) for n in range(2)]
    known.recorded = [Recorded(SessionId(f"s-{n}"), AT, AT + 60) for n in range(2)]
    found = made(cli, DAY)
    assert "0 B" not in found.text
    assert re.search(r"promised and not used\s+-", found.text)


def test_nothing_is_fetched_or_run_whatever_agents_said(cli: Run) -> None:
    _, out, _ = cli("report", HOME, "-o", "-")
    found = Document(out)
    assert "\\x1b]0;x\\x07<script>\\u202e" in found.text
    assert out.isascii()
    assert not set(found.found) & {"script", "link", "img", "iframe", "object", "a"}
    assert not re.search(r"https?:|url\(|@import|javascript:|\bon[a-z]+=", out)
    assert not {"\x1b", "\x07"} & set(out)


def test_its_style_is_sound_and_says_how_everything_looks(cli: Run) -> None:
    found = made(cli)
    said = declarations(found.style)
    defined = {one.partition(":")[0] for one in said if one.startswith("--")}
    assert set(re.findall(r"var\((--[a-z]+)\)", found.style)) == defined
    assert "prefers-color-scheme: dark" in found.style
    styled = set(re.findall(r"\.([a-z][a-z0-9-]*)", found.style))
    assert found.classes() <= styled


def test_a_day_counts_all_sessions_and_draws_some(cli: Run, server: Running) -> None:
    known = server.controller.past_calls
    known.accounts = [account(n, f"s-{n % 40:02}", at=AT + n % 7) for n in range(4500)]
    known.recorded = [Recorded(SessionId(f"s-{n:02}"), AT, AT + 60) for n in range(1, 45)]
    traces = {f"s-{n:02}": replace(course(), call=None) for n in range(40) if n != 3}
    serve(server, traces)
    found = made(cli, DAY)
    # s-00 is known by its calls alone, s-40 to s-44 have none.
    assert re.search(r"sessions\s+45\s+closed calls\s+4500\b", found.text)
    assert "33 more sessions are in the figures above" in found.text
    assert "session s-03: its samples are not remembered any more" in found.text
    assert sum("Memory of s-" in (one["aria-label"] or "") for one in found.found["svg"]) == 11
    assert len([s for s in range(45) if f"s-{s:02}" in found.text]) == 45


def test_a_part_of_which_nothing_is_left_costs_no_other_part(cli: Run, server: Running) -> None:
    whole = replace(course(), call=None, cut=True)
    asked = serve(server, {HOME: whole})
    server.controller.past_calls.recorded = [Recorded(HOME, AT - 1000, AT + 60)]
    found = made(cli)
    assert len(asked) > 3
    assert f"Memory of {HOME}" in [one["aria-label"] for one in found.found["svg"]]
    assert "its samples are not" not in found.text


def test_a_clock_that_was_put_back_breaks_nothing(cli: Run, server: Running) -> None:
    samples = [
        Sample(AT + (n if n < 50 else n - 3600), n, True, Usage(n * MIB, n * MIB, n / 9))
        for n in range(100)
    ]
    trace = Trace(HOME, None, None, 0, tuple(samples), ())
    serve(server, {HOME: trace})
    known = server.controller.past_calls
    known.recorded = [Recorded(HOME, AT - 3600, AT + 60)]
    known.accounts = [replace(account(1), wall=-5.0)]
    found = made(cli)
    drawn = next(one["d"] or "" for one in found.found["path"] if one.get("class") == "memory")
    assert drawn.count("Z") == 2
    assert all(float(one["width"] or 0) > 0 for one in found.found["rect"])


def test_of_what_is_not_known_nothing_is_written(cli: Run, tmp_path: Path, server: Running) -> None:
    target = tmp_path / "report.html"
    server.controller.past_calls.recorded.clear()
    code, _, err = cli("report", "s-none", "-o", str(target))
    assert code == 1
    assert "nothing is remembered of it" in err
    assert not target.exists()


def test_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        for name, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-01-01", 24)):
            found = day(name)
            assert found is not None
            assert round(found[2] - found[1]) == hours * 3600
        before, after = day("2026-01-01"), day("2026-01-02")
        assert before is not None
        assert after is not None
        assert math.nextafter(before[2], 1e11) == after[1]
        assert day("s-home") is None
        today = day("today")
        assert today is not None
        assert today[1] <= time.time() <= today[2] + 1
        for wrong in ("2026-13-01", "9999-12-31", "0001-01-01"):
            with pytest.raises(BadValueError):
                day(wrong)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_calls_of_one_moment_are_all_on_some_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "PAGE", 7)
    many = [account(n, at=AT + n % 2) for n in range(50)]

    class Daemon:
        def accounts(self, window: Window, _: object, before: str | None) -> Sequence[Account]:
            from tests.unit.api.past import Past

            return Past(many).page(None, window, before)

    found = past.accounts(Daemon(), 0.0, 1e11, None)  # type: ignore[arg-type]
    assert sorted(one.call for one in found) == [one.call for one in many]
