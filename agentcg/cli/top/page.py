"""The whole screen as lines: state and data → text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.text import Text

from agentcg.cli import plot
from agentcg.cli.plot import Glyphs
from agentcg.cli.top import columns, details, rows, table
from agentcg.cli.top.board import Board
from agentcg.cli.top.header import clock_of, header
from agentcg.cli.top.screen import Screen, View, place
from agentcg.cli.top.table import Column

_EVENTS = 5  # told below a table
_TALL = 20  # the least height for that
_DENSE = 4  # characters a cell that are written at most: marks above a letter take none
_KEYS = {
    View.SESSIONS: "Enter calls  Tab all calls  s sort  r reverse  / filter  ? help  q quit",
    View.CALLS: "Enter look  Tab sessions  s sort  r reverse  / filter  ? help  q quit",
    View.SESSION: "Enter look  Esc back  s sort  r reverse  / filter  ? help  q quit",
    View.CALL: "Up Down scroll  Esc back  Space pause  ? help  q quit",
}
_HELP = """\
Up Down j k      a row; also Page Up, Page Down, Home, End
Enter Right l    into a session, into a call
Esc Left h       out again
Tab              all calls of all sessions, and back
s S              sort by the next column, by the one before
r                the other way round
/                filter: each word must occur in the row; Esc clears it
Space            hold the figures still
q Ctrl-C         quit

WHOSE            the session's name, or its id
MINUTE           memory in the last minute, against the limit if that is near
CPU              percent of one CPU; of a session: by its calls
PSI              percent of 10 s in which the whole call waited for memory
                 (of a session: the highest among its calls)
killed           by a limit, a deadline, for want of memory, or on request
stalled          hardly goes on at its limit, or finds no room in the pool
held             memory growth was held up
quota            CPU is held back by its quota
Marks stay for a minute, calls that are over for half a minute.

any key: go on
"""
_HELP_REPLAY = f"""\
Left Right       5 seconds back, on; with Shift a minute
+ -              twice, half as fast
Space            hold still, go on

{_HELP.replace("Enter Right l ", "Enter l       ").replace("Esc Left h", "Esc h     ")}"""

T = TypeVar("T", rows.CallRow, rows.SessionRow)
_Table = tuple[list[Text], list[str], list[str]]  # lines, ids of all rows, names to sort by


@dataclass(frozen=True, slots=True)
class Frame:
    """What is drawn, and what keys need to know of it: ids of rows, names to sort by, rows seen."""

    lines: Sequence[Text]
    rows: Sequence[str]
    columns: Sequence[str]
    room: int


def frame(
    screen: Screen,
    board: Board,
    *,
    width: int,
    height: int,
    clock: float,
    at: float,
    glyphs: Glyphs,
) -> Frame:
    """Exactly `height` lines, none wider than `width`."""
    calls, homes = _rows(screen, board)
    marks = rows.marks(calls, homes)
    top: list[Text] = []
    if not screen.help:
        top = header(screen, board, marks, width, clock=clock, at=at, glyphs=glyphs)
    foot = _foot(screen, width, glyphs)
    room = max(0, height - len(top) - 1)
    ids: list[str] = []
    sorts: list[str] = []
    if screen.help:
        text = _HELP_REPLAY if board.note else _HELP
        body = [Text(line) for line in text.splitlines()]
    elif screen.view is View.CALL:
        whole = details.call(board, screen.name, width=width, glyphs=glyphs)
        start = min(screen.scroll, max(0, len(whole) - room))
        ids = [str(number) for number in range(len(whole))]
        body = list(whole[start : start + room])
    else:
        told = _events(board, screen, width, at, glyphs) if height >= _TALL else []
        room = max(1, room - len(told) - 1)
        body, ids, sorts = _table(screen, calls, homes, (width, room), glyphs)
        body = [*_filled(body, room + 1), *told]
    lines = [*_filled([*top, *body], height - 1), foot]
    for line in lines:
        line.no_wrap = True
        if (beyond := len(line) - _DENSE * width) > 0:
            line.right_crop(beyond)
        line.truncate(width)
    return Frame(lines[:height], ids, sorts, room)


def _rows(screen: Screen, board: Board) -> tuple[list[rows.CallRow], list[rows.SessionRow]]:
    """What the tables and their header are made of; nothing where there is none of these."""
    if screen.help or screen.view is View.CALL:
        return [], []
    calls = rows.calls(board, screen.name if screen.view is View.SESSION else None)
    return calls, rows.sessions(board, calls)


def _table(
    screen: Screen,
    calls: list[rows.CallRow],
    homes: list[rows.SessionRow],
    size: tuple[int, int],
    glyphs: Glyphs,
) -> _Table:
    if screen.view is View.SESSIONS:
        sessions = rows.matching_sessions(homes, screen.words)
        return _drawn(sessions, columns.sessions(glyphs), screen, size, glyphs)
    among = columns.calls(glyphs, everywhere=screen.view is View.CALLS)
    return _drawn(rows.matching_calls(calls, screen.words), among, screen, size, glyphs)


def _drawn(
    items: Sequence[T],
    among: Sequence[Column[T]],
    screen: Screen,
    size: tuple[int, int],
    glyphs: Glyphs,
) -> _Table:
    width, room = size
    items = table.arranged(items, among, screen.sort)
    ids = [item.id for item in items]
    here = place(screen, ids)
    start = max(0, min(here - room // 2, len(items) - room))
    fit = table.fitted(among, width, screen.sort)
    lines = [table.head(fit, screen.sort, glyphs)]
    for number, item in enumerate(items[start : start + room], start):
        line = table.row(item, fit, glyphs, here=number == here)
        if item.gone:
            line.stylize("dim")
        lines.append(line)
    if not items:
        lines.append(Text(_nothing(screen), "dim"))
    return lines, ids, table.names(among)


def _nothing(screen: Screen) -> str:
    if screen.words:
        return " nothing matches"
    return " no sessions are open" if screen.view is View.SESSIONS else " no calls are open"


def _events(board: Board, screen: Screen, width: int, at: float, glyphs: Glyphs) -> list[Text]:
    told = [
        event
        for event in board.events
        if screen.view is not View.SESSION or event.session in {None, screen.name}
    ]
    if not told:
        return []
    lines = [Text(glyphs.line * width, "dim")]
    for event in told[-_EVENTS:]:
        who = "/".join(part for part in (board.whose(event.session or ""), event.call) if part)
        words = " ".join(word for word in (who, event.text) if word)
        line = Text().append(f" {clock_of(event.at, at)} ", "dim")
        line.append(f"{event.kind.value} ", "yellow")
        lines.append(line.append(table.foreign(words, width, glyphs)))
    return lines


def _foot(screen: Screen, width: int, glyphs: Glyphs) -> Text:
    if screen.typing:
        words = plot.shown(screen.words, glyphs)
        return Text(table.sized(f" filter: {words}_", width, glyphs), "reverse")
    return Text(table.sized(f" {_KEYS[screen.view]}", width, glyphs), "dim")


def _filled(lines: Sequence[Text], height: int) -> list[Text]:
    return [*lines[:height], *(Text() for _ in range(height - len(lines)))]
