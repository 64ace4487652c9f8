"""Boards as they are after some seconds, and pages of them."""

from collections.abc import Mapping, Sequence

from agentcg.cli import plot
from agentcg.cli.plot import Glyphs
from agentcg.cli.top import page
from agentcg.cli.top.board import Board, Reading
from agentcg.cli.top.page import Frame
from agentcg.cli.top.screen import Screen, View
from agentcg.model.event import Kind
from agentcg.model.view import CallView, HostView
from agentcg.telemetry.machine import Machine
from tests.unit.cli.courses import course
from tests.unit.cli.top import fleet
from tests.unit.cli.top.fleet import AT

MACHINE = Machine(9 << 30, 16 << 30, 3.4, 8, 0.1, 12.5, 0.0)
CALLS = Screen(View.CALLS)


def reading(
    seconds: float, calls: Sequence[CallView], homes: int = 3, names: Mapping[str, str] = {}
) -> Reading:
    host = HostView("0.1.0", "T1", "7.2", 16 << 30, 8, (), {})
    seen = []
    for n in range(homes):
        name = f"s-{n}"
        mine = sum(view.call.session == name for view in calls)
        one = fleet.session(name, priority=n, label=names.get(name, ""))
        seen.append(fleet.seen(one, mine, (n + 1) << 30))
    return Reading(100 + seconds, AT + seconds, host, MACHINE, tuple(seen), tuple(calls))


def fleet_of(calls: int, seconds: float) -> list[CallView]:
    return [fleet.call(n, f"s-{n % 3}", seconds) for n in range(calls)]


def board(calls: int = 20, seconds: int = 9) -> Board:
    made = Board()
    for second in range(seconds + 1):
        made.take(reading(second, fleet_of(calls, second)))
    return made


def framed(
    board: Board,
    screen: Screen = CALLS,
    *,
    size: tuple[int, int] = (80, 24),
    glyphs: Glyphs = plot.UNICODE,
    late: float = 0.0,
) -> Frame:
    now = board.reading
    clock, at = (now.clock, now.at) if now is not None else (100.0, AT)
    return page.frame(
        screen, board, width=size[0], height=size[1], clock=clock + late, at=at, glyphs=glyphs
    )


def shown(board: Board, screen: Screen = CALLS, **how: object) -> list[str]:
    return [line.plain.rstrip() for line in framed(board, screen, **how).lines]  # type: ignore[arg-type]


def full() -> Board:
    """Many sessions and calls, with marks, and one that is followed."""
    made = board(40)
    for n, kind in enumerate((Kind.CALL_OOM, Kind.CALL_THROTTLED, Kind.CALL_STALLED)):
        made.hear(fleet.event(n, AT + n, kind, f"s-{n}", f"c-{n:08x}"))
    made.follow("c-00000003", course(command=fleet.NASTY))
    return made
