"""A table that fits: on a narrow screen columns go, the least important first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from agentcg.cli import plot
from agentcg.cli.plot import Glyphs
from agentcg.cli.top.screen import Sort

T = TypeVar("T")
Cell = str | Text  # a str is foreign text: it is made harmless here
_FILL = 14  # the least that the last column is worth
_PLENTY = 40  # and where others may be wider than they must


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column; `wide` where there is room, `order` what it is sorted by, None: not at all.

    `drawn`: its cells are pictures, which in reverse would show the opposite.
    """

    name: str
    width: int
    worth: int
    cell: Callable[[T, int], Cell]
    order: Callable[[T], float | str | None] | None = None
    right: bool = True
    wide: int = 0
    drawn: bool = False


def names(columns: Sequence[Column[T]]) -> list[str]:
    """Those that can be sorted by."""
    return [column.name for column in columns if column.order is not None]


def arranged(items: Sequence[T], columns: Sequence[Column[T]], sort: Sort) -> list[T]:
    """In order; what is not known comes last both ways, text runs from A to Z at first."""
    order = next((c.order for c in columns if c.name == sort.column), None)
    if order is None:
        return list(items)
    keyed = [(order(item), item) for item in items]
    known = [(key, item) for key, item in keyed if key is not None]
    text = bool(known) and isinstance(known[0][0], str)
    known.sort(key=lambda pair: pair[0], reverse=sort.down is not text)
    return [item for _, item in known] + [item for key, item in keyed if key is None]


def fitted(columns: Sequence[Column[T]], width: int, sort: Sort) -> list[tuple[Column[T], int]]:
    """The columns that fit, each with its width; the last one takes what is left.

    What it is sorted by goes last: an order that nobody sees is none.
    """
    kept = list(columns)
    while len(kept) > 1 and _taken(kept) + _FILL > width:
        kept.remove(min(kept[:-1], key=lambda column: (column.name == sort.column, column.worth)))
    spare = width - _taken(kept)
    found = []
    for column in kept[:-1]:
        more = max(0, column.wide - column.width)
        more = more if spare - more >= _PLENTY else 0
        spare -= more
        found.append((column, column.width + more))
    return [*found, (kept[-1], max(1, spare))]


def _taken(columns: Sequence[Column[T]]) -> int:
    return 1 + sum(column.width + 1 for column in columns[:-1])


def head(fit: Sequence[tuple[Column[T], int]], sort: Sort, glyphs: Glyphs) -> Text:
    """The line of names; a sign where it is sorted."""
    line = Text(" ", "bold")
    for number, (column, width) in enumerate(fit):
        name = column.name
        if column.name == sort.column:
            name += glyphs.order[sort.down]
        line.append(("" if number == 0 else " ") + sized(name, width, glyphs, right=column.right))
    return line


def row(item: T, fit: Sequence[tuple[Column[T], int]], glyphs: Glyphs, *, here: bool) -> Text:
    """One line; where the cursor is it is marked by a sign too, for who sees no colours."""
    line = Text(">" if here else " ")
    for number, (column, width) in enumerate(fit):
        start = len(line) if number else 0
        cell = column.cell(item, width)
        if number:
            line.append(" ")
        if isinstance(cell, str):
            line.append(sized(foreign(cell, width, glyphs), width, glyphs, right=column.right))
        else:
            room = " " * max(0, width - cell.cell_len)
            if column.right:
                line.append(room).append_text(cell)
            else:
                line.append_text(cell).append(room)
        if here:
            line.stylize("reverse", start, start + 1 if column.drawn else None)
    return line


def foreign(text: str, width: int, glyphs: Glyphs) -> str:
    """Foreign text for that many cells, harmless; of a long one no more is looked at than fits."""
    # Twice as many, for some take no cell; more, and an agent's command would slow every key down.
    return plot.shown(text[: 2 * width], glyphs)


def sized(text: str, width: int, glyphs: Glyphs, *, right: bool = False) -> str:
    """Exactly so wide on the screen, where some characters take two cells."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + glyphs.more
    return " " * (width - length) + text if right else text + " " * (width - length)
