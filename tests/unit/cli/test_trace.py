"""`agentcg trace` and `agentcg stats`: plots that fit, figures that are right, safe text."""

import csv
import io
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from agentcg.cli import course as courses
from agentcg.cli import plot
from agentcg.cli.plot import ASCII, UNICODE, Column
from agentcg.errors import LimitError
from agentcg.model.call import CallState
from agentcg.model.grant import Grant
from agentcg.model.intent import Intent
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import KindStats, Spread, Window
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run
from tests.unit.cli.courses import AT, MIB, NASTY, course


@pytest.fixture(autouse=True)
def recorded(server: Running) -> None:
    server.controller.add("c-aaaa2222", Intent(command="pytest"), Grant(), session=HOME)
    server.controller.traces["c-aaaa2222"] = course()
    server.controller.traces[HOME] = replace(course(), call=None, limit=None)


def drawn(width: int = 80, glyphs: plot.Glyphs = UNICODE, **about: object) -> list[str]:
    return [t.plain for t in courses.page(course(**about), width=width, glyphs=glyphs)]  # type: ignore[arg-type]


def test_a_scale_keeps_its_unit() -> None:
    grew = tuple(Sample(AT + n, n, True, Usage(memory=90 * n * MIB)) for n in range(3))
    rows = courses.page(replace(course(limit=272 * MIB), samples=grew), width=80, glyphs=UNICODE)
    assert any(row.plain.startswith(" 286 MiB│") for row in rows)


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_plot_fits_and_is_safe(width: int, glyphs: plot.Glyphs) -> None:
    lines = drawn(width, glyphs, command=NASTY + "y" * 500)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert text.isascii() or glyphs is UNICODE


def test_a_burst_of_one_sample_is_a_column_up_to_its_height() -> None:
    lines = drawn()
    column = 9 + int(305 / 599 * 71)
    heights = [line[column] for line in lines[3:13]]
    assert heights[0] == UNICODE.line  # the limit, above it
    assert heights[1] == UNICODE.between
    shaded = {n for line in lines[3:13] for n, char in enumerate(line) if char == UNICODE.between}
    assert shaded == {column}


def test_limit_guarantee_and_events_are_marked() -> None:
    lines = drawn()
    assert lines[1] == "memory 1.3 GiB, peak 1.9 GiB, limit 2 GiB, guarantee 512 MiB"
    assert lines[3].endswith("── limit ─")
    assert any(line.startswith("        │┄┄┄┄") for line in lines)
    assert " 3 20:27:10 call.throttled (5 times) the pool is tight" in _in_utc(lines)
    marks = lines[20]
    assert marks.split() == ["+", "3", "4", "+"]
    assert marks.index("3") == 9 + int(30 / 59.9 * 71)


def _in_utc(lines: list[str]) -> list[str]:
    import datetime

    here = datetime.datetime.fromtimestamp(AT + 30).astimezone().strftime("%H:%M:%S")
    return [line.replace(here, "20:27:10") for line in lines]


def test_a_limit_far_above_makes_no_flat_plot() -> None:
    lines = drawn(limit=64 << 30)
    assert "limit 64 GiB" in lines[1]
    assert "limit" not in lines[3]
    assert lines[3].lstrip().startswith("2.1 GiB")


def test_cpu_is_cores_between_full_readings() -> None:
    samples = [
        Sample(0.0, 0.0, True, Usage(cpu=0.0)),
        Sample(0.5, 0.5, False, Usage(MIB, MIB)),
        Sample(5.0, 5.0, True, Usage(cpu=10.0)),
        Sample(10.0, 10.0, True, Usage(cpu=10.0)),
    ]
    found = courses.cores(samples, 0.0, 10.0, 10)
    assert [c.value for c in found] == [2.0] * 6 + [0.0] * 4


def test_what_is_not_known_is_left_free() -> None:
    assert plot.columns_of([(5.0, 1.0, 4.0)], 0.0, 10.0, 4) == [
        *(Column(), Column()),
        *(Column(1.0, 4.0), Column(1.0, 1.0)),
    ]
    nothing = replace(course(), samples=(), events=())
    assert "nothing was recorded" in courses.page(nothing, width=80, glyphs=UNICODE)[1].plain
    cpu_only = replace(
        nothing,
        samples=tuple(Sample(AT + n, n, True, Usage(cpu=n / 2)) for n in range(5)),
    )
    shown = [t.plain for t in courses.page(cpu_only, width=80, glyphs=UNICODE)]
    assert "memory is not recorded on this host" in shown
    one = replace(nothing, samples=course().samples[:1])
    assert any("100 MiB" in t.plain for t in courses.page(one, width=80, glyphs=UNICODE))


def test_many_events_are_cut_in_the_middle() -> None:
    many = tuple(
        replace(e, seq=n, kind=e.kind, call=f"c-{n}")
        for n in range(40)
        for e in course().events[:1]
    )
    lines = [
        t.plain for t in courses.page(replace(course(), events=many), width=80, glyphs=UNICODE)
    ]
    assert "    ... 26 more: -o json has all" in lines
    assert len(lines) < 40


def test_trace_plots_a_call_by_its_beginning_and_a_session_by_its_id(cli: Run) -> None:
    code, out, _ = cli("trace", "c-aa")
    assert code == 0
    assert out.splitlines()[0] == "c-aaaa2222 in s-home, closed: pytest -q tests"
    assert "limit 2 GiB" in out
    code, out, _ = cli("trace", "s-home")
    assert code == 0
    assert out.splitlines()[0] == "session s-home"
    code, _, err = cli("trace", "nothing")
    assert code == 1
    assert "nothing" in err


def test_a_call_that_is_forgotten_but_for_its_trace_is_plotted(cli: Run, server: Running) -> None:
    server.controller.traces["c-old"] = course(command="make")
    code, out, _ = cli("trace", "c-old")
    assert code == 0
    assert out.splitlines()[0].endswith("make")


def test_since_and_points_are_asked_for(cli: Run, server: Running) -> None:
    assert cli("trace", "c-aa", "--since", "10m", "--points", "9")[0] == 0
    window = server.controller.bodies[-1]
    assert isinstance(window, Window)
    assert window.points == 9
    assert window.since is not None
    assert cli("trace", "c-aa", "--since", "soon")[0] == 2
    assert cli("trace", "c-aa", "--points", "2001")[0] == 2


def test_a_trace_as_json_and_as_csv_has_every_sample(cli: Run) -> None:
    found = json.loads(cli("trace", "c-aa", "-o", "json")[1])
    assert len(found["samples"]) == 600
    assert found["samples"][305]["usage"]["peak"] == 1900 * MIB
    rows = list(csv.DictReader(io.StringIO(cli("trace", "c-aa", "-o", "csv")[1])))
    assert len(rows) == 600
    assert rows[305]["peak"] == str(1900 * MIB)
    assert rows[305]["cpu"] == ""
    assert rows[10]["pids"] == "5"


def test_following_a_call_ends_with_it(cli: Run, server: Running) -> None:
    for form, lines in (("plot", 26), ("json", 600), ("csv", 601)):
        code, out, _ = cli("trace", "c-aa", "-f", "-o", form)
        assert code == 0
        assert len(out.splitlines()) >= lines
    call = server.controller.traces["c-aaaa2222"].call
    assert call is not None
    assert call.state is CallState.CLOSED


@pytest.mark.parametrize("form", ["plot", "csv", "json"])
def test_following_asks_for_what_is_new(
    cli: Run, server: Running, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    traces = server.controller.traces
    whole = traces["c-aaaa2222"]
    assert whole.call is not None
    running = replace(whole.call, state=CallState.RUNNING)

    def until(count: int) -> None:
        said = whole.samples[max(0, count - 30) : count]
        call = running if count < 600 else whole.call
        traces["c-aaaa2222"] = replace(whole, call=call, samples=said, events=whole.events[:2])

    steps = [580, 600]

    def later(seconds: float) -> None:
        assert seconds == 1.0
        until(steps.pop(0))

    until(560)
    server.controller.bodies.clear()
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", later)
        code, out, _ = cli("trace", "c-aa", "-f", "-o", form)
    assert code == 0
    windows = [one for one in server.controller.bodies if isinstance(one, Window)]
    expected = [None, AT + 55.9 - 1, AT + 57.9 - 1]
    assert [one.since for one in windows] == pytest.approx(expected)
    if form == "plot":
        assert out.count("call.started") >= 1
        return
    lines = out.splitlines()[form == "csv" :]
    clocks = [json.loads(one)["clock"] if form == "json" else one.split(",")[1] for one in lines]
    assert [round(float(one) * 10) - 770 for one in clocks] == list(range(530, 600))


def test_one_who_asks_too_soon_asks_again(
    cli: Run, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([LimitError("too soon")])
    call_trace = server.controller.call_trace

    async def refuse(*args: Any) -> Any:
        for error in answers:
            raise error
        return await call_trace(*args)

    monkeypatch.setattr(server.controller, "call_trace", refuse)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    code, out, _ = cli("trace", "c-aa", "-f", "-o", "csv")
    assert code == 0
    assert len(out.splitlines()) == 601


def test_stats_compare_classes_with_their_intents(cli: Run, server: Running) -> None:
    some = Spread(4, 10.0 * MIB, 20.0 * MIB, 30.0 * MIB, 40.0 * MIB)
    spans = Spread(4, 1.0, 2.0, 3.0, 4.0)
    server.controller.kinds = [
        KindStats("git status", 4, 1, 1, 2, some, spans, spans, Spread(2, 0.5, 0.9, 0.9, 1.0)),
        KindStats("=evil()", 4, 0, 0, 0, some, spans, spans, Spread(0)),
    ]
    code, out, _ = cli("stats", "--since", "1h")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "50% 90%" in out
    assert "40 MiB" in out
    rows = list(csv.DictReader(io.StringIO(cli("stats", "-o", "csv")[1])))
    assert rows[0]["peak_p90"] == str(20.0 * MIB)
    assert rows[0]["used_of_limit_p50"] == "0.5"
    assert rows[1]["kind"] == "'=evil()"
    assert json.loads(cli("stats", "-o", "json")[1])[0]["oom"] == 1
    assert cli("stats", "--kind", "git status", "-o", "csv")[1].count("\n") == 2
    server.controller.kinds = []
    assert "no call was closed" in cli("stats")[1]
