"""Plots: no peak is lost, whatever is left out."""

import re

from agentcg.cli.report import svg
from agentcg.cli.report.gather import Bar
from agentcg.cli.report.plots import gantt, lanes, waits
from agentcg.cli.report.svg import Frame
from agentcg.model.outcome import Cause
from agentcg.model.sample import Sample, Usage

FRAME = Frame(0.0, 50_000.0, 100.0, 200)


def places(drawn: str) -> list[tuple[float, float]]:
    shape = re.search(r' d="([^"]*)"', drawn)
    assert shape is not None
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", shape[1])]


def test_one_sample_among_many_stays_as_high_and_as_low_as_it_was() -> None:
    points = [(float(n), 50.0) for n in range(50_000)]
    points[31_234] = (31_234.0, 100.0)
    points[31_236] = (31_236.0, 0.0)
    for draw in (svg.line, svg.area):
        found = places(draw(FRAME, points, "x"))
        assert len(found) < 4 * svg.WIDTH
        top = [place for place in found if place[1] == FRAME.y(100.0)]
        assert top == [(round(FRAME.x(31_234.0), 1), FRAME.y(100.0))]
        assert FRAME.y(0.0) in {y for _, y in found}


def test_no_line_is_drawn_where_nothing_was_read() -> None:
    points = [(float(n), 1.0) for n in (0, 1, 2, 500, 501, 502)]
    assert svg.line(FRAME, points, "x").count("M") == 2
    assert "h0" in svg.line(FRAME, [(5.0, 1.0)], "x")
    assert svg.line(FRAME, [], "x") == '<path d="" class="x"></path>'


def test_the_axis_has_a_few_round_times() -> None:
    for span in (0.0, 1.0, 59.0, 3600.0, 86_400.0, 30 * 86_400.0, 3e8):
        found = list(svg.ticks(1_780_000_000.0, 1_780_000_000.0 + span))
        assert len(found) <= 12
        assert [at for at, _ in found] == sorted(at for at, _ in found)


def bar(call: str, begin: float, end: float, cause: Cause | None = Cause.EXITED) -> Bar:
    return Bar(call, "make", begin, end, cause, None)


def test_calls_that_overlap_have_lanes_of_their_own() -> None:
    bars = [bar("a", 0, 10), bar("b", 5, 6), bar("c", 6, 12), bar("d", 11, 12)]
    assert [(lane, one.call) for lane, one in lanes(bars)] == [
        (0, "a"),
        (1, "b"),
        (1, "c"),
        (0, "d"),
    ]


def test_those_that_were_killed_are_drawn_first_of_too_many() -> None:
    many = [bar(f"c-{n}", n, n + 0.5) for n in range(2000)]
    many.append(bar("c-killed", 1000.2, 1000.3, Cause.OOM))
    drawn, left = gantt(many, 0.0, 2000.0, "one")
    assert left == 501
    assert "c-killed" in drawn


def test_pressure_is_told_of_no_counter_that_began_anew() -> None:
    counted = [(0, 0.0), (1, 0.5), (2, 0.1), (2, 0.3), (4, 99.0)]
    samples = [Sample(n, n, True, Usage(memory_some=total)) for n, total in counted]
    assert waits(samples, lambda usage: usage.memory_some) == [(1, 50.0), (4, 100.0)]
