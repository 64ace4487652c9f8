"""Bounds the body of every request by the bytes that arrive, whatever its header promises."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentcg.api import problems

MAX_BODY = 64 * 1024
# A harness's hook has the tool's whole output in it, a runtime's process its environment.
MAX_LARGE = 256 * 1024
_LARGE = ("/v1/hooks/", "/v1/acg/runc")


class BodyLimit:
    """ASGI middleware. The framework's own answers in plain text, so it is not used."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`, or refuse it by its announced length."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = MAX_LARGE if scope["path"].startswith(_LARGE) else MAX_BODY
        announced = Headers(scope=scope).get("content-length", "0")
        # h11 has checked that it is digits, and not too many of them.
        if int(announced) > most:
            detail = f"the body has {announced} bytes; send at most {most}"
            answer = problems.response(problems.body(413, "too-large", detail), close=True)
            await answer(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, f"the body has more than {most} bytes")
            return message

        await self._app(scope, counted, send)
