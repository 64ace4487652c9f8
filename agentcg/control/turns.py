"""Whose turn it is to read traces: unpacking them takes CPU time from the event loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from agentcg.errors import LimitError
from agentcg.model.ids import SessionId

# Between two queries of a session: so many times as long as the first took, within bounds.
REST = 4.0
LEAST = 0.5
MOST = 10.0


@dataclass(slots=True)
class Turns:
    """One query at a time, of the administrator and of the sessions each.

    So the administrator waits for no session. Of each session one query is in flight, and between
    two is a rest: who asks in a loop has a fifth of a thread at most.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _admin: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sessions: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asking: set[SessionId] = field(default_factory=set)
    _rests: dict[SessionId, float] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def turn(self, asker: SessionId | None) -> AsyncIterator[None]:
        """Wait for the turn of a session; None is the administrator's.

        Raises:
            LimitError: the session has a query in flight.
        """
        if asker is None:
            async with self._admin:
                yield
            return
        if asker in self._asking:
            raise LimitError(f"session {asker}: one query of traces at a time; ask again after it")
        self._asking.add(asker)
        try:
            await self.sleep(max(0.0, self._rests.get(asker, 0.0) - self.clock()))
            async with self._sessions:
                begun = self.clock()
                try:
                    yield
                finally:
                    self._rest(asker, begun)
        finally:
            self._asking.discard(asker)

    def _rest(self, asker: SessionId, begun: float) -> None:
        now = self.clock()
        self._rests = {who: until for who, until in self._rests.items() if until > now}
        self._rests[asker] = now + min(max(LEAST, REST * (now - begun)), MOST)
