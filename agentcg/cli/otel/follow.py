"""Which calls have closed: by the daemon's events, and by its list where events may be missing.

Events are numbered anew by each daemon, and its clock may have been put: so after each connection
all that it remembers is read, and what is known already is not sent again.
"""

from collections.abc import Callable
from typing import Any

from agentcg.cli.otel.spans import span
from agentcg.client import Client
from agentcg.errors import NotFoundError
from agentcg.model.call import Call, CallState
from agentcg.model.event import Kind

# Of the daemon's list and history together there are fewer.
KNOWN = 8192
LISTED = 1000


class Follower:
    """Hands each call that closes to `send`, once; what may be missing is told."""

    def __init__(
        self,
        send: Callable[[dict[str, Any]], None],
        drop: Callable[[int, str], None],
        begin: float,
    ) -> None:
        """Nothing is known yet: what closed before `begin` is of the past."""
        self._send, self._drop, self._begin = send, drop, begin
        self._past = True
        self._known: dict[str, None] = {}
        self._begun = False

    def follow(self, daemon: Client) -> None:
        """Follow until the daemon ends it.

        Raises:
            UnavailableError: it is gone.
        """
        self._sweep(daemon)
        for event in daemon.events(0):
            # Once only: the time of day may be put back.
            self._past = self._past and event.at < self._begin
            if event.kind is Kind.LOST:
                self._sweep(daemon)
            elif event.kind is Kind.CALL_CLOSED and event.call is not None:
                self._closed(daemon, event.call)

    def _sweep(self, daemon: Client) -> None:
        """Send those closed calls that are not known."""
        closed = [
            view.call
            for view in daemon.calls(everything=True)
            if view.call.state is CallState.CLOSED
        ]
        if self._begun and len(closed) >= LISTED and not any(c.id in self._known for c in closed):
            self._drop(1, "or more: more calls closed meanwhile than the daemon lists")
        # The list is newest first.
        for call in reversed(closed):
            self._take(call)
        self._begun = True

    def _closed(self, daemon: Client, name: str) -> None:
        if name in self._known:
            return
        if self._past:
            self._know(name)
            return
        try:
            self._take(daemon.call(name).call)
        except NotFoundError:
            self._drop(1, f"call {name} was forgotten before it could be read")

    def _take(self, call: Call) -> None:
        if call.id in self._known:
            return
        self._know(call.id)
        if self._begun:
            self._send(span(call))

    def _know(self, name: str) -> None:
        self._known[name] = None
        if len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]
