"""Plots over time as SVG: scales, axes, and lines whose highest and lowest points all stay."""

import datetime
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from agentcg.cli.report.markup import Markup, el, number

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 920, 72, 12, 8, 22
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY = 86400
_TICKS = 9
# A line is not drawn through a time in which nothing was read.
_GAP = 15.0

Point = tuple[float, float]  # time of day, value


@dataclass(frozen=True, slots=True)
class Frame:
    """Where time and value are on a plot."""

    begin: float
    end: float
    top: float
    height: int

    def x(self, at: float) -> float:
        """The place of a time; what is outside is put at the edge."""
        share = (at - self.begin) / max(self.end - self.begin, 1e-3)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, share))

    def y(self, value: float) -> float:
        """The place of a value."""
        share = min(1.0, max(0.0, value / self.top)) if self.top > 0 else 0.0
        return TOP + self.height * (1 - share)


def plot(frame: Frame, name: str, *content: Markup) -> Markup:
    """The whole of a plot."""
    high = frame.height + TOP + BOTTOM
    return el("svg", *content, viewBox=f"0 0 {WIDTH} {high}", role="img", aria_label=name)


def axes(frame: Frame, label: Callable[[float], str] | None) -> Iterator[Markup]:
    """Lines of both scales with their figures; `label` None: values have none."""
    bottom = TOP + frame.height
    for part in range(5) if label is not None else ():
        value = frame.top * part / 4
        y = frame.y(value)
        yield el("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
        if label is not None:
            yield el("text", label(value), class_="tick", x=LEFT - 6, y=y + 4, text_anchor="end")
    for at, text in ticks(frame.begin, frame.end):
        x = frame.x(at)
        yield el("line", class_="grid", x1=x, x2=x, y1=TOP, y2=bottom)
        yield el("text", text, class_="tick", x=x, y=bottom + 16, text_anchor="middle")


def ticks(begin: float, end: float) -> Iterator[tuple[float, str]]:
    """Round times of the local clock, and how they are written."""
    span = max(end - begin, 1.0)
    days = math.ceil(span / _TICKS / _DAY) * _DAY
    step = next((one for one in _STEPS if span / one <= _TICKS), days)
    form = "%m-%d" if step >= _DAY else "%H:%M" if step >= 60 else "%H:%M:%S"
    offset = _local(begin).utcoffset() or datetime.timedelta()
    ahead = offset.total_seconds()
    at = math.ceil((begin + ahead) / step) * step - ahead
    while at <= end:
        yield at, _local(at).strftime(form)
        at += step


def _local(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).astimezone()


def line(frame: Frame, points: Sequence[Point], style: str) -> Markup:
    """A line through the points."""
    drawn = "".join(f"M{_path(run)}" for run in _runs(frame, points))
    return el("path", d=drawn, class_=style)


def area(frame: Frame, points: Sequence[Point], style: str) -> Markup:
    """What is below the points."""
    floor = number(frame.y(0))
    drawn = "".join(
        f"M{number(run[0][0])} {floor}L{_path(run)}V{floor}Z" for run in _runs(frame, points)
    )
    return el("path", d=drawn, class_=style)


def level(frame: Frame, value: float | None, style: str, name: str) -> Iterator[Markup]:
    """A limit, if there is one and it is on the scale."""
    if value is None or not 0 < value <= frame.top:
        return
    y = frame.y(value)
    yield el("line", class_=style, x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
    yield el("text", name, class_="name", x=WIDTH - RIGHT - 4, y=max(y - 4, 10), text_anchor="end")


def _runs(frame: Frame, points: Sequence[Point]) -> Iterator[list[Point]]:
    """Places of stretches without a gap; where the time of day was put back a new one begins."""
    steps = sorted(b[0] - a[0] for a, b in itertools.pairwise(points))
    gap = max(_GAP, 4 * steps[len(steps) // 2]) if steps else _GAP
    run: list[Point] = []
    for at, value in points:
        if run and not 0 <= at - run[-1][0] <= gap:
            yield list(_placed(frame, run))
            run = []
        run.append((at, value))
    if run:
        yield list(_placed(frame, run))


def _placed(frame: Frame, run: Iterable[Point]) -> Iterator[Point]:
    """Of each column the first, lowest, highest and last point: what a screen can show of them."""
    for _, column in itertools.groupby(run, key=lambda point: int(frame.x(point[0]))):
        held = list(enumerate(column))
        kept = {0: held[0][1], held[-1][0]: held[-1][1]}
        kept |= dict((min(held, key=_value), max(held, key=_value)))
        for _, (at, value) in sorted(kept.items()):
            yield frame.x(at), frame.y(value)


def _value(numbered: tuple[int, Point]) -> float:
    return numbered[1][1]


def _path(run: Sequence[Point]) -> str:
    # A point that is alone is a dot.
    return "L".join(f"{number(x)} {number(y)}" for x, y in run) + ("h0" if len(run) == 1 else "")
