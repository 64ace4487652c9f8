"""The lines on top: the host, where one is, and a daemon that does not answer."""

import datetime
from collections import Counter

from rich.text import Text

from agentcg.cli import plot
from agentcg.cli.plot import Glyphs
from agentcg.cli.top import details, figures, table
from agentcg.cli.top.board import Board, Mark, Reading
from agentcg.cli.top.screen import Screen, View

_BAR = 30
_LATE = 3.0  # seconds of an answer overdue that are worth a word
_DAY = 86400.0


def header(
    screen: Screen,
    board: Board,
    marks: Counter[Mark],
    width: int,
    *,
    clock: float,
    at: float,
    glyphs: Glyphs,
) -> list[Text]:
    """Three lines, and two more where a session is looked into; `marks` are all there are."""
    lines = [_title(board, width, at, glyphs), _host(board.reading, width, glyphs)]
    if trouble := _trouble(board, clock, paused=screen.paused):
        lines.append(Text(f" {plot.shown(trouble, glyphs)} ", "bold reverse red"))
    else:
        lines.append(_where(screen, board, marks, glyphs))
    if screen.view is View.SESSION:
        lines += details.session(board, screen.name, glyphs)
    return lines


def clock_of(at: float, now: float) -> str:
    """The time of day, and the date where that is another one."""
    shape = "%H:%M:%S" if abs(now - at) < _DAY else "%Y-%m-%d %H:%M"
    return datetime.datetime.fromtimestamp(at).astimezone().strftime(shape)


def _title(board: Board, width: int, at: float, glyphs: Glyphs) -> Text:
    line = Text().append("agentcg", "bold")
    if board.reading is not None:
        host = board.reading.host
        # In a recording this is foreign text as all else.
        words = f" {host.version}, tier {host.tier}, Linux {host.kernel}"
        line.append(table.foreign(words, width, glyphs), "dim")
    time = clock_of(at, at)
    line.truncate(max(0, width - len(time) - 1))
    return line.append(" " * max(1, width - line.cell_len - len(time))).append(time, "dim")


def _host(reading: Reading | None, width: int, glyphs: Glyphs) -> Text:
    if reading is None:
        return Text("asking the daemon", "dim")
    one = reading.machine
    line = Text(f" {figures.size(one.memory)} of {figures.size(one.memory_total)}")
    line.append(f"  CPU {one.cpu:.1f} of {one.cpus}  ")
    line.append(figures.waited((one.memory_some, one.cpu_some, one.io_some)))
    bar = min(_BAR, width - line.cell_len - len("memory "))
    return (
        Text("memory ")
        .append_text(figures.bar(one.memory, one.memory_total, max(0, bar), glyphs))
        .append_text(line)
    )


def _trouble(board: Board, clock: float, *, paused: bool) -> str:
    """A daemon that is away, with the time since."""
    if board.failed_at is not None:
        return f"no answer for {figures.span(max(0.0, clock - board.failed_at))}: {board.failure}"
    late = 0.0 if board.reading is None or paused else clock - board.reading.clock
    if late > board.every + _LATE:
        return f"no answer for {figures.span(late)}"
    return ""


def _where(screen: Screen, board: Board, marks: Counter[Mark], glyphs: Glyphs) -> Text:
    line = Text()
    if screen.paused:
        line.append(" paused ", "reverse").append("  ")
    if board.note:
        line.append(plot.shown(board.note, glyphs), "bold cyan").append("  ")
    if screen.words and not screen.typing:
        line.append("filter: ").append(plot.shown(screen.words, glyphs), "bold yellow").append("  ")
    match screen.view:
        case View.SESSIONS | View.CALLS:
            line.append(_counted(board, marks))
        case View.SESSION:
            line.append(plot.shown(f"host > {_called(board, screen.name)}", glyphs), "bold")
        case View.CALL:
            view = board.calls.get(screen.name)
            home = "" if view is None else f"{_called(board, view.call.session)} > "
            line.append(plot.shown(f"host > {home}{screen.name}", glyphs), "bold")
    if board.deaf:
        line.append(plot.shown(f"  no events: {board.deaf}", glyphs), "yellow")
    return line


def _called(board: Board, session: str) -> str:
    """Its id, which commands want, and its name, which people know."""
    name = board.whose(session)
    return session if name == session else f"{session} ({name})"


def _counted(board: Board, marks: Counter[Mark]) -> str:
    if board.reading is None:
        return ""
    calls = [view for name, view in board.calls.items() if name not in board.gone]
    words = f"{len(board.reading.sessions)} sessions, {len(calls)} calls"
    told = ", ".join(f"{marks[mark]} {mark.value}" for mark in Mark if marks[mark])
    return f"{words}; in the last minute {told}" if told else words
