"""Asks the daemon, round by round, and hears its events; starts over when it is away."""

import asyncio
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

from agentcg.cli.top.board import PAST, Board, Reading
from agentcg.cli.top.screen import Screen, View
from agentcg.client import AsyncClient
from agentcg.errors import AgentcgError, LimitError, UnavailableError
from agentcg.model.event import Event, Kind
from agentcg.model.trace import Trace, Window
from agentcg.model.view import HostView
from agentcg.telemetry import machine

# A daemon that needs longer for one answer counts as away.
_PATIENCE = 5.0
_AGAIN = 1.0
_HOST = 30.0  # seconds for which its answer about the host holds
_POINTS = 500
_HEARD = 4096  # more than the daemon remembers


@dataclass
class Feed:
    """Keeps `board` fresh: calls `changed` after each change; `wanted` says what is looked at."""

    board: Board
    every: float
    wanted: Callable[[], Screen]
    changed: Callable[[], None]

    def __post_init__(self) -> None:
        self._soon = asyncio.Event()
        self._host: tuple[float, HostView] | None = None
        self._told: deque[Event] = deque(maxlen=_HEARD)  # not on the board yet

    def works(self) -> Sequence[Coroutine[object, object, None]]:
        """What goes on beside keys."""
        return self.ask(), self.hear()

    def clock(self) -> float:
        """The clock that readings are told by."""
        return time.monotonic()

    def at(self) -> float:
        """The time of day."""
        return time.time()

    def take(self, key: str) -> bool:
        """No key is about when this is."""
        return False

    def hurry(self) -> None:
        """Ask now: the user looks at something else."""
        self._soon.set()

    async def ask(self) -> None:
        """Ask for ever."""
        while True:
            try:
                async with client() as daemon:
                    while True:
                        await self.once(daemon)
                        await self._rest()
            except AgentcgError as error:
                self._host = None
                self.board.fail(error.message, time.monotonic())
                self.changed()
                await self._rest()

    async def hear(self) -> None:
        """Follow events for ever: what the daemon still remembers first, and nothing twice.

        After a break all is asked for: a daemon that was started anew counts from 1.
        """
        heard: deque[tuple[int, float]] = deque(maxlen=_HEARD)
        loop = asyncio.get_running_loop()
        while True:
            # Who is not refused by then is heard.
            well = loop.call_later(_AGAIN, self._deaf, "")
            try:
                async with client() as daemon:
                    await self._follow(daemon, heard)
            except AgentcgError as error:
                # Also a refusal is not for ever: a daemon that starts makes its socket first.
                self._deaf(error.message)
            finally:
                well.cancel()
            await asyncio.sleep(_AGAIN)

    async def _follow(self, daemon: AsyncClient, heard: deque[tuple[int, float]]) -> None:
        before = frozenset(heard)
        numbers = itertools.count()
        async for event in daemon.events(0):
            # What was forgotten before we came is no loss to us.
            past = next(numbers) == 0 and event.kind is Kind.LOST
            if past or (event.seq, event.at) in before:
                continue
            heard.append((event.seq, event.at))
            self._told.append(event)
            if event.kind is Kind.DAEMON:
                self._host = None  # it may be of another tier now
            if not self.wanted().paused:
                self._tell()

    def _tell(self) -> None:
        while self._told:
            self.board.hear(self._told.popleft())
        self.changed()

    def _deaf(self, why: str) -> None:
        self.board.deaf = why
        self.changed()

    async def once(self, daemon: AsyncClient) -> None:
        """One round of questions; while all is to stay as it is, only whether it is there."""
        screen = self.wanted()
        if screen.paused:
            await daemon.health()
            self.board.answer()
        else:
            self._tell()
            host = await self._about(daemon)
            sessions, calls = await asyncio.gather(daemon.sessions(), daemon.calls())
            now = time.monotonic()
            self.board.take(
                Reading(now, time.time(), host, machine.read(), tuple(sessions), tuple(calls))
            )
        self.changed()
        if screen.view in {View.SESSION, View.CALL}:
            await self._trace(daemon, screen)

    async def _about(self, daemon: AsyncClient) -> HostView:
        """What the host is, which is dear to ask, and seldom changes."""
        if self._host is None or time.monotonic() - self._host[0] > _HOST:
            self._host = time.monotonic(), await daemon.host()
        return self._host[1]

    async def _trace(self, daemon: AsyncClient, screen: Screen) -> None:
        if screen.paused and self.board.trace_of == screen.name:
            return
        trace: Trace | None = None
        failure = ""
        try:
            if screen.view is View.CALL:
                trace = await daemon.call_trace(screen.name, Window(points=_POINTS))
            else:
                window = Window(time.time() - PAST, points=_POINTS)
                trace = await daemon.session_trace(screen.name, window)
        except UnavailableError:
            raise
        except LimitError:
            return  # asked too soon: what was known stays
        except AgentcgError as error:
            failure = error.message
        self.board.follow(screen.name, trace, failure)
        self.changed()

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._soon.wait(), self.every)
        except TimeoutError:
            return
        self._soon.clear()


def client() -> AsyncClient:
    """A client, made anew for each connection."""
    # Which socket may be opened can have changed.
    return AsyncClient(os.environ.get("AGENTCG_SOCKET") or None, timeout=_PATIENCE)
