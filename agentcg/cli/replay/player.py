"""Moves through a recording: by time, as fast as is wished, and by keys."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from agentcg.cli.replay.past import Past
from agentcg.cli.top.board import PAST, Board
from agentcg.cli.top.header import clock_of
from agentcg.cli.top.screen import Screen, View

STEP, STRIDE = 5.0, 60.0
SLOWEST, FASTEST = 1 / 8, 512.0
_TICK = 0.25
_COARSE = 2.0  # seconds between readings of the minute before a moment
_MOVES = {"left": -STEP, "right": STEP, "shift left": -STRIDE, "shift right": STRIDE}
_SPEEDS = {"+": 2.0, "=": 2.0, "-": 0.5}


@dataclass
class Player:
    """A source of `agentcg top`'s screen; `now` is the moment that is shown."""

    past: Past
    name: str
    now: float
    speed: float
    wanted: Callable[[], Screen]
    changed: Callable[[], None]
    board: Board = field(init=False)

    def __post_init__(self) -> None:
        """Show the first moment."""
        self.seek(self.now)

    def works(self) -> Sequence[Coroutine[object, object, None]]:
        """Time goes on."""
        return (self._play(),)

    def clock(self) -> float:
        """In a recording there is one time alone."""
        return self.now

    def at(self) -> float:
        """The moment that is shown."""
        return self.now

    def take(self, key: str) -> bool:
        """Keys that move, and that change the speed."""
        if key in _MOVES:
            self.seek(self.now + _MOVES[key])
        elif key in _SPEEDS:
            self.speed = min(FASTEST, max(SLOWEST, self.speed * _SPEEDS[key]))
            self._note()
        else:
            return False
        self.changed()
        return True

    def hurry(self) -> None:
        """The user looks at something else, which may need a trace."""
        self._trace()
        self.changed()

    def seek(self, to: float) -> None:
        """Show another moment, with the minute before it as if it had been watched."""
        self.now = self._within(to)
        self.board = Board(_COARSE)
        for number in range(int(PAST / _COARSE), -1, -1):
            self.board.take(self.past.reading(self.now - number * _COARSE))
        for event in self.past.told(self.now - PAST, self.now):
            self.board.hear(event)
        self._note()
        self._trace()

    def go_on(self, seconds: float) -> None:
        """So much time goes by."""
        before, to = self.now, self._within(self.now + seconds)
        if to <= before:
            return
        if to - before > STEP:
            self.seek(to)
            return
        self.now = to
        self.board.take(self.past.reading(to))
        for event in self.past.told(before, to):
            self.board.hear(event)
        self._note()
        self._trace()

    async def _play(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            clock = time.monotonic()
            if not self.wanted().paused:
                self.go_on((clock - last) * self.speed)
                self.changed()
            last = clock

    def _within(self, at: float) -> float:
        return min(self.past.head.until, max(self.past.head.since, at))

    def _note(self) -> None:
        until = self.past.head.until
        end = "the end" if self.now >= until else f"to {clock_of(until, self.now)}"
        self.board.note = f"replay of {self.name}, {end}, speed {self.speed:g}"

    def _trace(self) -> None:
        screen = self.wanted()
        if screen.view is View.SESSION:
            trace = self.past.trace(screen.name, None, self.now)
        elif screen.view is View.CALL and (call := self.past.calls.get(screen.name)) is not None:
            trace = self.past.trace(call.session, screen.name, self.now)
        else:
            return
        self.board.follow(screen.name, trace)
