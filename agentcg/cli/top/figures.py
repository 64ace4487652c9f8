"""Figures in few characters: sizes, times, bars, courses."""

import itertools
from collections.abc import Iterable, Sequence

from rich.text import Text

from agentcg import units
from agentcg.cli import plot
from agentcg.cli.plot import Glyphs
from agentcg.cli.render import NONE
from agentcg.cli.top.board import PAST, Mark

# Of a limit: from here on it is close.
_CLOSE = 0.9
MARK_STYLES = {
    Mark.KILLED: "bold red",
    Mark.STALLED: "bold magenta",
    Mark.HELD: "yellow",
    Mark.QUOTA: "cyan",
}


def size(value: int | None) -> str:
    """Bytes, such as 1.8G."""
    if value is None:
        return NONE
    return units.format_bytes(value).replace(" ", "").removesuffix("B").removesuffix("i") or "0"


def span(value: float | None) -> str:
    """Seconds, such as 5m03s."""
    if value is None:
        return NONE
    if value < 10:
        return f"{value:.1f}s"
    whole = int(value)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    return f"{whole // 86400}d{whole // 3600 % 24:02}h"


def cpus(value: float | None) -> str:
    """CPUs in use, as a percentage of one."""
    return NONE if value is None else f"{value * 100:.0f}%"


def percent(value: float | None) -> str:
    """Percent of time, at most 4 characters."""
    return NONE if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def waited(shares: Sequence[float | None]) -> str:
    """Pressure by memory, CPU and devices: percent of time in which some task waited."""
    told = [
        f"{what} {percent(share)}"
        for what, share in zip(("memory", "CPU", "IO"), shares, strict=True)
        if share is not None
    ]
    return f"PSI % {' '.join(told)}" if told else "PSI unknown"


def used(value: int | None, limit: int | None) -> Text:
    """Bytes, in a colour where they are close to the limit."""
    return Text(size(value), "bold red" if _close(value, limit) else "")


def _close(value: float | None, limit: float | None) -> bool:
    return value is not None and bool(limit) and value >= _CLOSE * (limit or 0)


def bar(value: float, most: float, width: int, glyphs: Glyphs) -> Text:
    """How much of it is used."""
    full = 0 if most <= 0 else min(width, max(0, round(value / most * width)))
    made = Text(glyphs.bars[-1] * full, "red" if _close(value, most) else "green")
    return made.append(glyphs.dots * (width - full), "dim")


def course(
    points: Iterable[tuple[float, float | None]],
    *,
    clock: float,
    width: int,
    limit: float | None,
    least: float,
    glyphs: Glyphs,
) -> Text:
    """The last minute, a character a stretch of it; `least` is the least top of its scale."""
    highest: list[float | None] = [None] * width
    begin, step = clock - PAST, PAST / width
    for at, value in points:
        if value is not None:
            number = min(width - 1, max(0, int((at - begin) / step)))
            old = highest[number]
            highest[number] = value if old is None else max(old, value)
    top = max(plot.scale_of(max((v for v in highest if v is not None), default=0.0), limit), least)
    close = None if not limit else _CLOSE * limit
    steps, held, cells = len(glyphs.bars), None, []
    for value in highest:
        # The last value holds until the next one comes.
        held = held if value is None else value
        if held is None:
            cells.append((" ", ""))
        else:
            part = min(steps, max(1, round(held / top * steps)))
            style = "cyan" if close is None or held < close else "red"
            cells.append((glyphs.bars[part - 1], style))
    # Of one style a piece: drawing takes as long as there are pieces.
    made = Text()
    for style, group in itertools.groupby(cells, key=lambda cell: cell[1]):
        made.append("".join(char for char, _ in group), style)
    return made


def weight(found: Iterable[Mark]) -> float:
    """What marks are sorted by."""
    order = list(Mark)
    return float(sum(1 << (len(order) - order.index(mark)) for mark in found))
