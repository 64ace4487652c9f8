"""POST /v1/acg/run, /shell and /runc: the native client's own format, as it parses no JSON.

Both ways the body is a row of records, each a tag byte, UTF-8 text, and a NUL. Asked with O
(option), A (argument), D (directory), E (NAME=value), T (what was cut off); answered with E (a
variable for the command), M (a line for stderr) and X (exit code: do not run the command). `runc`
asks with A, P (the OCI process, JSON) or T instead of it, and is answered with O (an option).
"""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from agentcg.api.controller import Caller, Controller, Role
from agentcg.api.deps import TheCaller, TheController, serves
from agentcg.errors import AgentcgError, BadValueError, DeniedError, LimitError, UnavailableError
from agentcg.model.view import Placement

MEDIA_TYPE = "application/vnd.agentcg.acg"
TAGS = frozenset("OADETP")
# What `docker run` and `env` exit with when they fail themselves.
REFUSED = 125

router = APIRouter(prefix="/v1/acg", tags=["acg"])
_SCHEMA = {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


_EXTRA = {"requestBody": {"required": True, **_SCHEMA}, **serves(Role.SESSION, Role.CALL)}
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"description": "Records.", **_SCHEMA}}


@router.post("/run", response_class=Response, responses=_ANSWERS, openapi_extra=_EXTRA)
async def run(request: Request, controller: TheController, caller: TheCaller) -> Response:
    """Place the waiting peer into a new call; 503 tells the client to run without one."""
    return await _place(request, controller, caller, line=False)


@router.post("/shell", response_class=Response, responses=_ANSWERS, openapi_extra=_EXTRA)
async def shell(request: Request, controller: TheController, caller: TheCaller) -> Response:
    """Place the peer into the call that a hook announced with its command line, if there is one."""
    return await _place(request, controller, caller, line=True)


@router.post(
    "/runc",
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=_EXTRA | serves(Role.ADMIN),
)
async def runc(request: Request, controller: TheController, caller: TheCaller) -> Response:
    """Make a call of what a container runtime is about to exec; no record: it runs as it is."""
    # Before anything is parsed, which others would have done on the daemon's time.
    if caller.role is not Role.ADMIN:
        raise DeniedError("only a container runtime of the host asks this")
    options = await controller.execed(caller, await _records(request))
    body = b"".join(b"O" + _bytes(option) + b"\0" for option in options)
    return Response(body, media_type=MEDIA_TYPE)


async def _records(request: Request) -> list[tuple[str, str]]:
    if request.headers.get("content-type") != MEDIA_TYPE:
        raise HTTPException(415, f"the body must be {MEDIA_TYPE}")
    return parse(await request.body())


async def _place(
    request: Request, controller: Controller, caller: Caller, *, line: bool
) -> Response:
    if caller.role is Role.NOBODY:
        raise UnavailableError("not in a session: the command runs unmanaged")
    records = await _records(request)
    try:
        placement = await controller.run(caller, records, line=line)
    except (BadValueError, LimitError) as error:
        # What the caller wrote, or how much it has open, it can mend; so it is told, and the
        # command does not run. The client can read nothing but records.
        placement = Placement({}, (f"agentcg: {error.message}",), REFUSED)
    except AgentcgError as error:
        # Our trouble is not the agent's: the command runs without a call.
        raise UnavailableError(error.message) from error
    return Response(encode(placement), media_type=MEDIA_TYPE)


def parse(body: bytes) -> list[tuple[str, str]]:
    """Take the records apart; bytes that are not UTF-8 become lone surrogates.

    Raises:
        HTTPException: the body is not in this format.
    """
    if not body.endswith(b"\0"):
        raise HTTPException(400, "the body must be records that each end with a NUL")
    records = []
    for raw in body[:-1].split(b"\0"):
        text = raw.decode("utf-8", "surrogateescape")
        if text[:1] not in TAGS or not text:
            raise HTTPException(
                400, f"record tag {text[:1]!r} is not one of {''.join(sorted(TAGS))}"
            )
        records.append((text[0], text[1:]))
    return records


def encode(placement: Placement) -> bytes:
    """Put an answer into records."""
    return b"".join(record + b"\0" for record in _answer(placement))


def _answer(placement: Placement) -> Iterator[bytes]:
    for name, value in placement.env.items():
        yield b"E" + _bytes(f"{name}={value}")
    for message in placement.messages:
        yield b"M" + _bytes(message)
    if placement.exit_code is not None:
        yield b"X%d" % placement.exit_code


def _bytes(text: str) -> bytes:
    # A NUL would start a record of the text's own making.
    text = text.replace("\0", "")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
