"""HTTP on one accepted Unix connection: who is at its other end, and how long it may dawdle."""

import asyncio
import os
import socket
from collections.abc import Hashable
from typing import Any

import h11
from typing_extensions import override
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from agentcg.api import problems
from agentcg.api.controller import NO_PEER, Peer
from agentcg.api.gate import Gate, Link
from agentcg.errors import AgentcgError, ProcessGoneError, UnsupportedError
from agentcg.kernel import pidfd

# From connecting, or from the last answer, until a whole request is here.
REQUEST_WITHIN = 10.0


class PeerProtocol(H11Protocol):
    """Uvicorn's protocol, with the peer's pidfd in each request's scope as `state["link"]`."""

    def __init__(self, *, gate: Gate, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**kwargs)
        self.gate = gate
        self._app = self.app
        self.app = self._serve
        self._link: Link | None = None
        self._lost = False
        self._timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            link = self.meet(transport)
        except (ProcessGoneError, OSError):
            # Nobody is there to read an answer, or no descriptor is left to see who is.
            transport.abort()
            return
        except AgentcgError as error:
            self._refuse(problems.of_error(error))
            return
        self._link = link
        try:
            self.gate.admit(link)
        except AgentcgError as error:
            self._refuse(problems.of_error(error))
            return
        self._arm()

    def meet(self, transport: asyncio.Transport) -> Link:
        """Look who is at the other end."""
        peer = _peer(transport.get_extra_info("socket"))
        return Link(peer, self.gate.door, _key(peer), self.gate, transport.abort)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # Uvicorn leaves its timer when the connection breaks with an error.
        self._unset_keepalive_if_required()
        self._disarm()
        self._lost = True
        if self._link is not None:
            self.gate.release(self._link)
        self._settle()

    @override
    def handle_events(self) -> None:
        super().handle_events()
        cycle = self._current()
        if cycle is not None and not cycle.more_body:
            self._disarm()
            if self._link is not None:
                self._link.waiting = False

    @override
    def on_response_complete(self) -> None:
        self._arm()
        super().on_response_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(problems.body(400, "bad-request", f"{msg} Send HTTP/1.1."))

    @override
    def shutdown(self) -> None:
        # An answer under way is finished, a stream of events or a half request is not.
        endless = self._link is not None and self._link.endless
        cycle = self._current()
        if cycle is None or cycle.more_body or endless:
            self.transport.abort()
        else:
            cycle.keep_alive = False

    def _current(self) -> RequestResponseCycle | None:
        """The request that is not answered yet."""
        # Uvicorn's annotation leaves out that there is none at first.
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        return None if cycle is None or cycle.response_complete else cycle

    async def _serve(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        link = self._link
        if self._lost or link is None:  # the connection broke before this task first ran
            return
        link.running += 1
        scope["state"]["link"] = link
        try:
            await self._app(scope, receive, send)
        finally:
            link.running -= 1
            link.endless = False
            self.gate.rested(link)
            self._settle()

    def _refuse(self, problem: dict[str, Any]) -> None:
        """Answer outside any request, and hang up."""
        content = problems.encode(problem)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
        ]
        try:
            for event in (
                h11.Response(status_code=problem["status"], headers=headers),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # rubbish behind a request that is being answered
            self.transport.abort()
        else:
            self.transport.close()

    def _arm(self) -> None:
        self._disarm()
        if self._link is not None:
            self._link.waiting = True
        if not self._lost:
            self._timer = self.loop.call_later(REQUEST_WITHIN, self.transport.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self) -> None:
        # A request may outlive its connection; until then its pidfd must not become another file.
        link = self._link
        if self._lost and link is not None and not link.running:
            self._link = None
            if link.peer is not NO_PEER:
                os.close(link.peer.pidfd)


def _peer(sock: socket.socket) -> Peer:
    fd = pidfd.peer_pidfd(sock)
    pid, uid, _ = pidfd.peer_cred(sock)
    return Peer(fd, pid, uid)


def _key(peer: Peer) -> Hashable:
    """The peer's cgroup; where the kernel cannot tell at once (before 6.13), the process."""
    try:
        return ("cgroup", pidfd.info(peer.pidfd).cgroup_id)
    except (UnsupportedError, ProcessGoneError):
        return ("pid", peer.pid)
