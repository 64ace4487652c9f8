"""Serves the API on sockets that are bound already, until told to stop.

Uvicorn never binds by itself: given a path it makes the socket 0666.
"""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from agentcg.api.app import create_app
from agentcg.api.controller import Controller, Door
from agentcg.api.gate import TOTAL, Gate
from agentcg.api.protocol import PeerProtocol
from agentcg.api.web.access import Access
from agentcg.api.web.app import create_web
from agentcg.api.web.guard import HEADERS
from agentcg.api.web.protocol import WebProtocol

KEEP_ALIVE = 5
GRACE = 2
_MAX_HEAD = 16 * 1024
# A full queue refuses a client that does not block, and its command then runs unmanaged.
_BACKLOG = 1024
# A browser comes again. As many are accepted at a stretch, and a stranger may send crowds.
_WEB_BACKLOG = 32


async def serve(
    controller: Controller, sockets: Mapping[Door, socket.socket], stop: asyncio.Event
) -> None:
    """Serve each door on its socket until `stop` is set; closes the sockets.

    Requests under way get two seconds to finish; idle connections and streams end at once.
    """
    web = sockets.get(Door.WEB)
    access = None if web is None else Access(web.getsockname()[1])
    app = create_app(controller, access)
    _warm(app)
    apps = {Door.ADMIN: app, Door.AGENT: app}
    if access is not None:
        apps[Door.WEB] = create_web(controller, access)
    servers = [(_Server(_config(apps[door], door), stop), sock) for door, sock in sockets.items()]
    try:
        async with asyncio.TaskGroup() as group:
            for server, sock in servers:
                group.create_task(server.serve(sockets=[sock]), name="api")
    finally:
        for server, _ in servers:
            server.abort()


def _warm(app: FastAPI) -> None:
    """Have FastAPI make all validators now: the first request would hold the loop up for 0.1 s."""
    for route in app.routes:
        route.matches({"type": "http", "method": "GET", "path": "/", "headers": []})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop
        # Uvicorn sets them in its own main loop.
        self.server_state.default_headers = [(n.encode(), v.encode()) for n, v in config.headers]

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are the daemon's business.
        yield

    @override
    async def main_loop(self) -> None:
        # Uvicorn's own wakes up ten times a second.
        await self._stop.wait()
        await self._accept_no_more()

    async def _accept_no_more(self) -> None:
        """Let what is accepted be a connection: asyncio loses one whose server closes before."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
        for _ in range(2):  # the turn in which it is accepted, and that in which it is made
            await asyncio.sleep(0)

    def abort(self) -> None:
        """Break what is left, after a cancellation or when the grace is over."""
        for server in getattr(self, "servers", []):
            server.close()
        for connection in list(self.server_state.connections):
            cast(PeerProtocol, connection).transport.abort()


def _config(app: Any, door: Door) -> uvicorn.Config:  # noqa: ANN401 - any ASGI application
    web = door is Door.WEB
    protocol = WebProtocol if web else PeerProtocol
    return uvicorn.Config(
        app,
        http=cast(Any, partial(protocol, gate=Gate(door))),
        headers=list(HEADERS.items()) if web else None,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        # Its warnings are about malformed requests: any session could fill the log with them.
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=_WEB_BACKLOG if web else _BACKLOG,
        # The gate refuses first, and with a problem document; this is the second line.
        limit_concurrency=2 * TOTAL[door],
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=_MAX_HEAD,
    )
