"""Plots of figures over time in characters, for any terminal: eighths of a block, or ASCII.

Written here because what it shows is our own: one column is a stretch of time with what was used
and, above that, the highest that was seen in between; lines are limits; plotting libraries draw
points and lines, and lose a burst of one sample among them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

from agentcg.cli.render import escape

MARGIN = 9  # columns for the scale


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What is drawn with: `bars` are parts of a cell from one part up to all of it."""

    bars: str = "▁▂▃▄▅▆▇█"
    between: str = "░"
    line: str = "─"
    dots: str = "┄"
    edge: str = "│"
    corner: str = "└"
    more: str = "…"
    order: str = "▲▼"


UNICODE = Glyphs()
ASCII = Glyphs("_=#", ":", "-", ".", "|", "+", "~", "^v")


def glyphs_of(encoding: str | None) -> Glyphs:
    """What a stream of that encoding can be given."""
    every = "".join(getattr(UNICODE, field.name) for field in fields(Glyphs))
    try:
        every.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def shown(text: str, glyphs: Glyphs) -> str:
    """Foreign text, harmless, and in ASCII where that is all there is."""
    safe = escape(text)
    return safe.encode("ascii", "backslashreplace").decode() if glyphs is ASCII else safe


@dataclass(frozen=True, slots=True)
class Column:
    """One stretch of time; None where nothing is known."""

    value: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A level to compare with; not drawn where it is above the scale."""

    level: float
    name: str
    style: str
    solid: bool = True


Cells = list[tuple[str, str]]  # characters, each with its style


def draw(
    columns: Sequence[Column],
    lines: Iterable[Line],
    *,
    height: int,
    top: float,
    label: Callable[[float], str],
    glyphs: Glyphs,
) -> list[Cells]:
    """Draw from the top down: rows of (text, style), each as wide as the columns and a margin."""
    levels = {max(0, min(height - 1, _row(one.level, top, height))): one for one in lines}
    rows = []
    for row in range(height - 1, -1, -1):
        name = ""
        if row == height - 1:
            name = label(top)
        elif height > 4 and row == (height - 1) // 2:
            name = label(top * (row + 1) / height)
        cells: Cells = [(f"{name[: MARGIN - 1]:>{MARGIN - 1}}{glyphs.edge}", "dim")]
        cells += _cells(columns, row, height / top, levels.get(row), glyphs)
        rows.append(cells)
    base = f"{'0':>{MARGIN - 1}}{glyphs.corner}{glyphs.line * len(columns)}"
    return [*rows, [(base, "dim")]]


def _cells(
    columns: Sequence[Column], row: int, scale: float, line: Line | None, glyphs: Glyphs
) -> Cells:
    empty = " " if line is None else (glyphs.line if line.solid else glyphs.dots)
    # The name stands in its line, where the line is free.
    name = f" {line.name} " if line is not None else ""
    free = [_cell(c, row, scale, glyphs) for c in columns]
    start = len(columns) - len(name) - 1
    written = bool(name) and start >= 0 and not any(free[start : start + len(name)])
    cells: Cells = []
    for position, shown in enumerate(free):
        if shown is not None:
            cells.append(shown)
        elif written and start <= position < start + len(name):
            cells.append((name[position - start], line.style if line else ""))
        else:
            cells.append((empty, line.style if line else ""))
    return cells


def _cell(column: Column, row: int, scale: float, glyphs: Glyphs) -> tuple[str, str] | None:
    """What of a column is in this row, if anything."""
    if column.value is None:
        return None
    filled = column.value * scale - row
    steps = len(glyphs.bars)
    if filled > 0:
        part = min(steps, max(1, round(filled * steps)))
        return glyphs.bars[part - 1], "cyan"
    if column.high is not None and column.high * scale - row > 0:
        return glyphs.between, "magenta"
    return None


def _row(level: float, top: float, height: int) -> int:
    return int(level / top * height - 1e-9)


def columns_of(
    points: Iterable[tuple[float, float, float]], begin: float, end: float, width: int
) -> list[Column]:
    """Columns from points (time, value, high): the last value holds until the next one comes."""
    found: list[Column] = [Column()] * width
    step = max(end - begin, 1e-9) / width
    for time, value, high in points:
        number = min(width - 1, max(0, int((time - begin) / step)))
        old = found[number]
        found[number] = Column(value, max(high, old.high or 0.0))
    held: float | None = None
    for number, column in enumerate(found):
        if column.value is not None:
            held = column.value
        elif held is not None:
            found[number] = Column(held, held)
    return found


def position(time: float, begin: float, end: float, width: int) -> int:
    """The column that a time is in."""
    return min(width - 1, max(0, int((time - begin) / max(end - begin, 1e-9) * width)))


def scale_of(most: float, limit: float | None) -> float:
    """The top of a scale: the limit if it is near, else somewhat above what was seen."""
    if limit is not None and most * 4 >= limit:
        return max(limit, most) * 1.05
    return most * 1.15 or 1.0
