"""What stands before each request of the web view's door: host, origin, method, token, bounds.

Any process of this host can connect, agents with the host's network among them, and any page that
the administrator's browser shows can have it do so. Who has no token gets one short answer a
connection.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agentcg.api import problems
from agentcg.api.web.access import Access

# Streams of events at a time; a page holds one while it is looked at.
STREAMS = 16
ENTER = "/ui/enter"
EVENTS = "/v1/events"
# Of every answer of this door. Nothing inline, nothing from elsewhere, in nobody's frame.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


Problem = dict[str, Any]


class Guard:
    """ASGI middleware. `public` are the paths of the page itself, in which there are no data."""

    def __init__(self, app: ASGIApp, access: Access, public: Collection[str]) -> None:
        self._app = app
        self._access = access
        self._public = public
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it and hang up."""
        headers = Headers(scope=scope)
        left = self._left(headers)
        problem = self._problem(scope["method"], scope["path"], headers, left)
        if problem is not None:
            answer = problems.response(
                problem, _extra(problem["status"], scope["path"]), close=True
            )
            await answer(scope, receive, send)
            return
        # What identify() goes by: the door alone gives nobody a right.
        scope["state"]["reader"] = left > 0
        if scope["path"] != EVENTS:
            await self._app(scope, receive, send)
            return
        self._streams += 1
        try:
            async with asyncio.timeout(left):
                await self._app(scope, receive, send)
        except TimeoutError:
            return  # with its token the stream ends, and the connection with it
        finally:
            self._streams -= 1

    def _left(self, headers: Headers) -> float:
        """Seconds for which the request's token holds."""
        token = bearer(headers)
        return 0.0 if token is None else self._access.left(token, time.monotonic())

    def _problem(self, method: str, path: str, headers: Headers, left: float) -> Problem | None:
        """Why it is refused, if it is."""
        host = self._access.host
        if headers.get("host") != host:
            detail = f"this door is http://{host} and no other: forward the same port, and say that"
            return problems.body(403, "denied", detail)
        if method != _method(path):
            detail = f"the web view only reads: {path} takes {_method(path)}, not {method}"
            return problems.body(405, "method-not-allowed", detail)
        return None if path in self._public else self._not_for(path, headers, left)

    def _not_for(self, path: str, headers: Headers, left: float) -> Problem | None:
        """Why who asks does not get what is not public."""
        here = f"http://{self._access.host}"
        fetched = headers.get("sec-fetch-site", "same-origin")
        if headers.get("origin", here) != here or fetched != "same-origin":
            return problems.body(403, "denied", "only the page of this door may ask it")
        if path == ENTER:
            return None
        if not left:
            detail = "no token that holds: run `agentcg ui` on the host and open its link"
            return problems.body(401, "no-token", detail)
        if path == EVENTS and self._streams >= STREAMS:
            detail = f"{STREAMS} pages follow events already: close one, or retry"
            return problems.body(503, "unavailable", detail)
        return None


def bearer(headers: Headers) -> str | None:
    """What the request carries as `Authorization: Bearer`, if it does."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret if scheme.lower() == "bearer" and secret else None


def _method(path: str) -> str:
    return "POST" if path == ENTER else "GET"


def _extra(status: int, path: str) -> dict[str, str]:
    match status:
        case 401:
            return {"www-authenticate": "Bearer"}
        case 405:
            return {"allow": _method(path)}
        case 503:
            return {"retry-after": "2"}
        case _:
            return {}
