"""What both clients share about the connection: which socket, and errors in our own terms."""

import errno
import os
import socket
import traceback
from pathlib import Path
from typing import Any

import httpx2
from pydantic import TypeAdapter, ValidationError

from agentcg import errors
from agentcg.errors import AgentcgError, DeniedError, UnavailableError
from agentcg.model.event import Event

ADMIN = Path("/run/agentcg/admin.sock")
AGENT = Path("/run/agentcg/agent/sock")
BASE = "http://agentcg"
# Closing a call waits until it is gone, reclaim and reaper included.
PATIENCE = 30.0
CONNECT = 5.0
# At once, streams of events included; more requests wait. A session has no more at the daemon.
CONNECTIONS = 16
# So long may a connection rest and be used again. The daemon hangs up after 5 s: a request just
# then would be lost.
RESTED = 2.0
# Comments come every 15 seconds: after three missed ones the daemon is taken for dead.
SILENCE = 45.0

_EVENT = TypeAdapter(Event)
_BY_SLUG: dict[str, type[AgentcgError]] = {
    one.slug: one
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, AgentcgError)
}


def default_socket() -> Path:
    """The administrator's socket for those who may open it, else the agents'."""
    return ADMIN if os.access(ADMIN, os.R_OK | os.W_OK) else AGENT


def limits(timeout: float) -> httpx2.Timeout:
    """How long to wait for an answer, in seconds; a connection is not waited for as long."""
    return httpx2.Timeout(timeout, connect=min(timeout, CONNECT))


def pool() -> httpx2.Limits:
    """How many connections a client has, and how long one may rest in between."""
    return httpx2.Limits(max_connections=CONNECTIONS, keepalive_expiry=RESTED)


def raise_problem(status: int, content: bytes) -> None:
    """Raise the error that an answer stands for, if it stands for one.

    Raises:
        AgentcgError: of the class that the daemon raised.
    """
    if status < 400:
        return
    try:
        problem: Any = TypeAdapter(dict[str, Any]).validate_json(content)
    except ValidationError:
        problem = {}
    slug = str(problem.get("type", "")).rpartition(":")[2]
    message = str(problem.get("detail") or f"the daemon answered with status {status}")
    raise _error(_BY_SLUG.get(slug, AgentcgError), message)


def transport_error(error: Exception, where: Path) -> AgentcgError:
    """The error for a daemon that does not answer, or not to us."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        _close_leaked(cause)
    if isinstance(cause, OSError) and cause.errno in {errno.EACCES, errno.EPERM}:
        return DeniedError(f"{where}: permission denied; be root or a member of group agentcg")
    if isinstance(error, httpx2.TimeoutException):
        return UnavailableError(
            f"{where}: the daemon does not answer in time; see `systemctl status agentcg`"
        )
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
    return UnavailableError(
        f"{where}: no daemon answers ({why or type(error).__name__}); start it with "
        "`systemctl start agentcg`, or name its socket in AGENTCG_SOCKET"
    )


def _close_leaked(error: BaseException) -> None:
    # The HTTP library leaves the socket of a refused connection open, for as long as somebody
    # keeps the error (httpcore2 2.16, connect_unix_socket).
    for frame, _ in traceback.walk_tb(error.__traceback__):
        sock = frame.f_locals.get("sock")
        if isinstance(sock, socket.socket):
            sock.close()


def event(message: httpx2.ServerSentEvent) -> Event | None:
    """The record in a server-sent event; None: of a kind that only another version knows."""
    try:
        return _EVENT.validate_json(message.data)
    except ValidationError:
        return None


def _error(kind: type[AgentcgError], message: str) -> AgentcgError:
    # Some classes compose their message of parts that the answer does not have apart.
    error = kind.__new__(kind)
    AgentcgError.__init__(error, message)
    if isinstance(error, errors.ProcessGoneError):
        error.pid = 0
    elif isinstance(error, errors.CgroupError):
        error.path, error.value, error.strerror, error.errno = "", None, None, None
    return error
