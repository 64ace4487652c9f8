"""Bounded publish and subscribe. A slow reader loses events and is told; nobody waits for it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from agentcg.model.event import Event, Kind

HISTORY = 2048
QUEUE = 512


class Bus:
    """The daemon's events. `publish` never blocks; `follow` resumes from a sequence number."""

    def __init__(self, *, first: int = 1) -> None:
        self._next = first
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._readers: set[asyncio.Queue[Event | None]] = set()
        self._closed = False

    def publish(
        self,
        at: float,
        kind: Kind,
        *,
        session: str | None = None,
        call: str | None = None,
        text: str = "",
        data: Mapping[str, str | int | float | None] | None = None,
    ) -> Event:
        """Number an event, keep it for late readers, and hand it to all that follow."""
        event = Event(self._next, at, kind, session, call, text, data or {})
        self._next += 1
        self._history.append(event)
        for queue in self._readers:
            if queue.full():
                queue.get_nowait()  # the gap in seq becomes a `lost` event in follow()
            queue.put_nowait(event)
        return event

    async def follow(
        self, after: int | None, wanted: Callable[[Event], bool]
    ) -> AsyncIterator[Event]:
        """Yield wanted events after number `after` (None: from now on), with gaps told."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUE)
        last = self._next - 1 if after is None else after
        backlog = deque(old for old in self._history if old.seq > last)
        if self._closed:
            queue.put_nowait(None)
        else:
            self._readers.add(queue)
        try:
            while (event := backlog.popleft() if backlog else await queue.get()) is not None:
                if event.seq > last + 1:
                    lost = event.seq - last - 1
                    text = f"{lost} events were lost to this reader"
                    yield Event(event.seq - 1, event.at, Kind.LOST, text=text, data={"lost": lost})
                last = event.seq
                if wanted(event):
                    yield event
        finally:
            self._readers.discard(queue)

    def close(self) -> None:
        """End every reader, also a later one, so that a stopping daemon does not wait for them."""
        self._closed = True
        for queue in self._readers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        # What is published from now on must not push the end out of a full queue.
        self._readers.clear()
