"""What is asked and heard, of a daemon that answers as it should not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Self

import pytest

from agentcg.cli.top import feed
from agentcg.cli.top.board import Board
from agentcg.cli.top.feed import Feed
from agentcg.cli.top.screen import Screen
from agentcg.errors import AgentcgError, DeniedError, LimitError, UnavailableError
from agentcg.model.event import Event, Kind
from agentcg.model.view import CallView, HostView, SessionView
from tests.unit.cli.top import fleet
from tests.unit.cli.top.fleet import AT

OOM = fleet.event(7, AT, Kind.CALL_OOM, "s-1", "c-1")
LOST = Event(6, AT, Kind.LOST, text="6 events were lost to this reader")


class Daemon:
    """Each connection for events plays the next of `plays`: what it tells, or what it raises."""

    def __init__(self, *plays: Sequence[Event | AgentcgError]) -> None:
        self.plays = list(plays)
        self.asked: list[str] = []
        self.away: AgentcgError | None = None
        self.tier = "T1"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def events(self, after: int) -> AsyncIterator[Event]:
        for one in self.plays.pop(0) if self.plays else ():
            if isinstance(one, AgentcgError):
                raise one
            yield one
        await asyncio.Event().wait()

    async def host(self) -> HostView:
        self._ask("host")
        return HostView("0.1.0", self.tier, "7.2", 16 << 30, 8, (), {})

    async def sessions(self) -> list[SessionView]:
        self._ask("sessions")
        return []

    async def calls(self) -> list[CallView]:
        return []

    async def health(self) -> str:
        self._ask("health")
        return "ok"

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.away is not None:
            raise self.away


class Watched:
    """A feed of that daemon, and what it is told to look at."""

    def __init__(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed, "client", lambda: daemon)
        monkeypatch.setattr(feed, "_AGAIN", 0.01)
        self.daemon, self.board, self.screen = daemon, Board(), Screen()
        self.feed = Feed(self.board, 0.01, lambda: self.screen, lambda: None)

    async def until(self, true: Callable[[], bool], *work: str) -> None:
        """Let it ask or hear until that is so."""
        tasks = [asyncio.ensure_future(getattr(self.feed, name)()) for name in work]
        try:
            async with asyncio.timeout(20):
                while not true():
                    assert not [task.result() for task in tasks if task.done()]
                    await asyncio.sleep(0.005)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def heard(self) -> list[Kind]:
        return [event.kind for event in self.board.events]


@pytest.mark.parametrize(
    "why",
    [LimitError("all connections busy"), DeniedError("not yours"), AgentcgError("status 500")],
    ids=lambda error: type(error).__name__,
)
async def test_who_may_not_hear_tries_again_and_says_so(
    why: AgentcgError, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(Daemon([why], [why], [why], [OOM]), monkeypatch)
    told = []
    watched.feed.changed = lambda: told.append(watched.board.deaf)
    await watched.until(lambda: watched.heard() == [Kind.CALL_OOM], "hear")
    assert why.message in told
    assert not watched.daemon.plays
    await watched.until(lambda: watched.board.deaf == "", "hear")


async def test_what_was_forgotten_before_it_came_is_no_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gap = replace(LOST, seq=9)
    watched = Watched(Daemon([LOST, OOM, gap]), monkeypatch)
    await watched.until(lambda: len(watched.board.events) == 2, "hear")
    assert watched.heard() == [Kind.CALL_OOM, Kind.LOST]


async def test_the_host_is_asked_again_when_the_daemon_tells_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon()
    watched = Watched(daemon, monkeypatch)
    await watched.until(lambda: daemon.asked.count("sessions") == 3, "ask")
    assert daemon.asked.count("host") == 1
    daemon.tier = "T0"
    daemon.plays = [[Event(8, AT, Kind.DAEMON, text="native limits rule (tier T0)")]]

    def shown() -> str:
        return "" if watched.board.reading is None else watched.board.reading.host.tier

    await watched.until(lambda: shown() == "T0", "ask", "hear")
    assert daemon.asked.count("host") == 2
    monkeypatch.setattr(feed, "_HOST", 0.0)
    await watched.until(lambda: daemon.asked.count("host") > 3, "ask")


async def test_paused_nothing_changes_but_a_daemon_that_is_away_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon([OOM])
    watched = Watched(daemon, monkeypatch)
    watched.screen = Screen(paused=True)
    await watched.until(lambda: not daemon.plays and "health" in daemon.asked, "ask", "hear")
    assert (watched.heard(), daemon.asked.count("sessions")) == ([], 0)
    daemon.away = UnavailableError("nobody listens")
    await watched.until(lambda: watched.board.failure == "nobody listens", "ask")
    daemon.away = None
    await watched.until(lambda: watched.board.failed_at is None, "ask")
    assert watched.board.failure == ""
    watched.screen = Screen()
    await watched.until(lambda: watched.heard() == [Kind.CALL_OOM], "ask")
