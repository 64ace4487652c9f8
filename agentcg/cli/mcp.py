"""`agentcg mcp`: the advisor of a session's model, at stdin and stdout or at a port of loopback."""

import hmac
import os
import secrets
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.errors import BadValueError, UnsupportedError

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = "127.0.0.1"
_TOKEN_LEAST = 16

Port = Annotated[
    int | None,
    typer.Option(
        "--http", min=0, max=65535, help="Serve HTTP at this port of loopback; 0: a free one."
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="With --http: the file of the bearer token; made if it is not there."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(mcp)


def mcp(*, http: Port = None, token_file: TokenFile = None) -> None:
    """Serve MCP to the model of the session that this process is in: budget, intents, reasons."""
    if (http is None) != (token_file is None):
        raise BadValueError("--http and --token-file: each needs the other")
    try:
        from agentcg.cli import mcp_tools
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise UnsupportedError(
            "the Python package mcp is not installed: pip install 'agentcg[mcp]'"
        ) from error
    server = mcp_tools.server()
    if http is None or token_file is None:
        server.run("stdio")
        return
    _serve(server, http, _token(token_file))


def _token(file: Path) -> str:
    """Who may read the file may speak for the session."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        found = _own(file).strip()
        if len(found) < _TOKEN_LEAST or not found.isascii():
            raise BadValueError(
                f"{file}: no token of {_TOKEN_LEAST} or more characters of ASCII; remove it, "
                "and one is made"
            ) from None
        return found
    made = secrets.token_urlsafe(32)
    with os.fdopen(handle, "w") as out:
        out.write(f"{made}\n")
    return made


def _own(file: Path) -> str:
    """What is in it, if nobody else can have put it there, or can read it."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadValueError(f"{file}: {error.strerror}; choose another file") from error
    with os.fdopen(handle, errors="replace") as found:
        info = os.fstat(handle)
        mine = stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()
        if not mine or info.st_mode & 0o077:
            raise BadValueError(
                f"{file}: not a file of yours alone (mode 0600); remove it, and one is made"
            )
        return found.read(4096)


def _serve(server: "MCPServer", port: int, token: str) -> None:
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    with socket.create_server((_LOOPBACK, port)) as listener:
        names = [f"{host}:{listener.getsockname()[1]}" for host in (_LOOPBACK, "localhost")]
        app = server.streamable_http_app(
            transport_security=TransportSecuritySettings(
                allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
            )
        )
        print(f"http://{names[0]}/mcp", flush=True)  # noqa: T201 - whoever asked for any port
        config = uvicorn.Config(_Guard(app, token), log_level="warning")
        uvicorn.Server(config).run(sockets=[listener])


class _Guard:
    """Loopback is everybody's on this machine: only who knows the token comes in."""

    def __init__(self, app: "ASGIApp", token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        from starlette.responses import PlainTextResponse

        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._wanted):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse(
            "the bearer token is missing or wrong: send the one of --token-file\n",
            401,
            {"www-authenticate": "Bearer"},
        )
        await refusal(scope, receive, send)
