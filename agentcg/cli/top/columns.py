"""The columns of both tables, and what each is worth where not all fit."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rich.text import Text

from agentcg.cli.plot import Glyphs
from agentcg.cli.top import figures
from agentcg.cli.top.board import Mark
from agentcg.cli.top.rows import CallRow, SessionRow
from agentcg.cli.top.table import Column

_MIB = 1 << 20
Row = CallRow | SessionRow
R = TypeVar("R", CallRow, SessionRow)


def calls(glyphs: Glyphs, *, everywhere: bool) -> Sequence[Column[CallRow]]:
    """Of calls; `everywhere`: of more than one session."""
    home: Column[CallRow] = Column(
        "WHOSE", 10, 9, lambda r, _: r.whose, lambda r: r.whose, right=False, wide=20
    )
    # fmt: off
    return [
        Column("CALL", 10, 6, lambda r, _: r.id, lambda r: r.id, right=False),
        *([home] if everywhere else []),
        Column("STATE", 9, 2, lambda r, _: r.state, lambda r: r.state, right=False),
        Column("MEMORY", 7, 10, lambda r, _: figures.used(r.memory, r.limit), lambda r: r.memory),
        Column("LIMIT", 7, 7, lambda r, _: figures.size(r.limit), lambda r: r.limit),
        _course("MINUTE", 8, _memory(glyphs), wide=20),
        Column("CPU", 5, 9, lambda r, _: figures.cpus(r.cpu), lambda r: r.cpu),
        _course("CPU MINUTE", 0, _cpu(glyphs), wide=20),
        Column("PSI", 4, 3, lambda r, _: figures.percent(r.pressure), lambda r: r.pressure),
        Column("TIME", 6, 5, lambda r, _: figures.span(r.seconds), lambda r: r.seconds),
        Column("MARKS", 7, 9, _marks, lambda r: figures.weight(r.marks), right=False, wide=19),
        Column("COMMAND", 0, 11, lambda r, _: r.command, lambda r: r.command, right=False),
    ]
    # fmt: on


def sessions(glyphs: Glyphs) -> Sequence[Column[SessionRow]]:
    """Of sessions."""
    # fmt: off
    return [
        Column("SESSION", 13, 11, lambda r, _: r.id, lambda r: r.id, right=False),
        Column("PRIO", 5, 3, lambda r, _: str(r.priority), lambda r: r.priority),
        Column("CALLS", 6, 7, lambda r, _: str(r.calls), lambda r: r.calls),
        Column("MEMORY", 7, 10, lambda r, _: figures.used(r.memory, r.limit), lambda r: r.memory),
        Column("LIMIT", 7, 6, lambda r, _: figures.size(r.limit), lambda r: r.limit),
        _course("MINUTE", 8, _memory(glyphs), wide=30),
        Column("CPU", 5, 9, lambda r, _: figures.cpus(r.cpu), lambda r: r.cpu),
        _course("CPU MINUTE", 0, _cpu(glyphs), wide=30),
        Column("PSI", 4, 4, lambda r, _: figures.percent(r.pressure), lambda r: r.pressure),
        Column("NAME", 10, 7, lambda r, _: r.name, lambda r: r.name, right=False, wide=24),
        Column("MARKS", 0, 11, _counted, lambda r: figures.weight(r.marks), right=False),
    ]
    # fmt: on


def _course(name: str, worth: int, cell: Callable[[R, int], Text], *, wide: int) -> Column[R]:
    return Column(name, 10, worth, cell, right=False, wide=wide, drawn=True)


def _memory(glyphs: Glyphs) -> Callable[[Row, int], Text]:
    def cell(row: Row, width: int) -> Text:
        points = ((at, value) for at, value, _ in row.course.past(row.clock))
        return figures.course(
            points, clock=row.clock, width=width, limit=row.limit, least=_MIB, glyphs=glyphs
        )

    return cell


def _cpu(glyphs: Glyphs) -> Callable[[Row, int], Text]:
    def cell(row: Row, width: int) -> Text:
        points = ((at, value) for at, _, value in row.course.past(row.clock))
        return figures.course(
            points, clock=row.clock, width=width, limit=None, least=1.0, glyphs=glyphs
        )

    return cell


def _marks(row: CallRow, width: int) -> Text:
    return _joined(((mark.value, mark) for mark in Mark if mark in row.marks), width)


def _counted(row: SessionRow, width: int) -> Text:
    counts = ((row.marks[mark], mark) for mark in Mark)
    return _joined(((f"{count} {mark.value}", mark) for count, mark in counts if count), width)


def _joined(words: Iterable[tuple[str, Mark]], width: int) -> Text:
    """In the order of weight, so that the heaviest is never cut."""
    made = Text()
    for word, mark in words:
        made.append(" " if made else "").append(word, figures.MARK_STYLES[mark])
    made.truncate(width)
    return made
