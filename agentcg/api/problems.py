"""Errors as problem documents (RFC 9457), all with the same few members and a stable `type`."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from agentcg.errors import AgentcgError, BadValueError, LimitError

MEDIA_TYPE = "application/problem+json"
URN = "urn:agentcg:problem:"

# What is no AgentcgError, by status: (slug, what to do about it).
FRAMEWORK = {
    400: ("bad-request", "send one JSON object"),
    404: ("no-route", "GET /v1/host, /v1/sessions and /v1/calls are places to start"),
    405: ("method-not-allowed", "use one of the methods in the Allow header"),
    413: ("too-large", "send at most 64 KiB"),
    415: ("media-type", "use the content type that the API description names"),
    500: ("internal", "the daemon's log has the traceback"),
}
_SHOWN = 80

SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `type` is stable; `detail` names the value and the remedy.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": [URN + BadValueError.slug]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "description": "One entry for each field that was refused.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def body(
    status: int, slug: str, detail: str, errors: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """The members of a problem document."""
    problem: dict[str, Any] = {
        "type": URN + slug,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        problem["errors"] = list(errors)
    return problem


def encode(problem: Mapping[str, Any]) -> bytes:
    """A document as bytes. Pure ASCII: a message may quote text that is not valid Unicode."""
    return json.dumps(problem).encode()


def response(
    problem: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, close: bool = False
) -> Response:
    """A document as an answer; `close` also hangs up: what was not read stays unread."""
    extra = dict(headers or {})
    if close:
        extra["connection"] = "close"
    return Response(encode(problem), problem["status"], extra, MEDIA_TYPE)


def of_error(error: AgentcgError) -> dict[str, Any]:
    """The document for one of our own errors."""
    return body(error.status, error.slug, error.message)


async def on_agentcg_error(_: Request, error: Exception) -> Response:
    """Answer a deliberate error."""
    assert isinstance(error, AgentcgError)
    if isinstance(error, LimitError):
        return response(of_error(error), {"retry-after": "1"}, close=True)
    return response(of_error(error))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses by itself: unknown routes, methods, oversized bodies."""
    assert isinstance(error, HTTPException)
    slug, remedy = FRAMEWORK.get(error.status_code, ("error", "see the API description"))
    what = f"{request.method} {_short(request.url.path)}: {error.detail}"
    problem = body(error.status_code, slug, f"{what}; {remedy}")
    headers = {"allow": _allowed(request)} if error.status_code == 405 else None
    # The rest of an unread body would be taken for the next request.
    return response(problem, headers, close=error.status_code in {400, 413})


async def on_invalid(_: Request, error: Exception) -> Response:
    """Answer a body or parameter that does not fit its model."""
    assert isinstance(error, RequestValidationError)
    raw = list(error.errors())
    if any(one["type"] == "json_invalid" for one in raw):
        where = f"{raw[0].get('ctx', {}).get('error', 'syntax error')} at {raw[0]['loc'][-1]}"
        detail = f"the body is not JSON: {where}; send one JSON object"
        return response(body(400, "bad-request", detail))
    errors = [_field_error(one) for one in raw]
    detail = "; ".join(f"{e['field']}: {e['message']}" for e in errors[:3])
    return response(body(422, BadValueError.slug, detail, errors))


async def on_defect(_: Request, error: Exception) -> Response:
    """Answer a defect without a word of its inside; the server logs the traceback."""
    slug, remedy = FRAMEWORK[500]
    detail = f"the daemon failed ({type(error).__name__}); {remedy}"
    return response(body(500, slug, detail), close=True)


HANDLERS: dict[int | type[Exception], Any] = {
    AgentcgError: on_agentcg_error,
    HTTPException: on_http_error,
    RequestValidationError: on_invalid,
    Exception: on_defect,
}


def _allowed(request: Request) -> str:
    # The framework names the methods of the first route that has the path, not of all.
    found = {
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path)
        for method in operations
    }
    return ", ".join(sorted(found))


def _field_error(one: Mapping[str, Any]) -> dict[str, str]:
    message = str(one["msg"]).removeprefix("Value error, ")
    if one["type"] == "extra_forbidden":
        message = "there is no such field; check its spelling"
    elif one["type"] == "missing":
        message = "this field is required"
    elif one["type"] != "value_error":
        message = f"{message}, not {_short(one.get('input'))}"
    return {"field": _path(one["loc"]), "message": message}


def _path(loc: Iterable[str | int]) -> str:
    # The first part says body, query or path; a caller knows which of them holds the name.
    parts = [
        _short(part) if isinstance(part, str) and not part.isidentifier() else str(part)[:_SHOWN]
        for part in loc
    ][1:]
    return ".".join(parts) or "body"


def _short(value: object) -> str:
    shown = _repr(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."


def _repr(value: object) -> str:
    if isinstance(value, str | bytes):
        return repr(value[:_SHOWN])
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value)
