"""POST /v1/acg/run: the native client's own format, as it parses no JSON.

Both ways the body is a row of records, each a tag byte, UTF-8 text, and a NUL. Asked with O
(option), A (argument), D (directory), E (NAME=value), T (what was cut off); answered with E (a
variable for the command), M (a line for stderr) and X (exit code: do not run the command).
"""

from collections.abc import Iterator

from fastapi import APIRouter, HTTPException, Request, Response

from agentcg.api.controller import Role
from agentcg.api.deps import TheCaller, TheController, serves
from agentcg.errors import AgentcgError, BadValueError, LimitError, UnavailableError
from agentcg.model.view import Placement

MEDIA_TYPE = "application/vnd.agentcg.acg"
TAGS = frozenset("OADET")
# What `docker run` and `env` exit with when they fail themselves.
REFUSED = 125

router = APIRouter(prefix="/v1/acg", tags=["acg"])
_SCHEMA = {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


@router.post(
    "/run",
    response_class=Response,
    responses={200: {"description": "Records.", **_SCHEMA}},
    openapi_extra={
        "requestBody": {"required": True, **_SCHEMA},
        **serves(Role.SESSION, Role.CALL),
    },
)
async def run(request: Request, controller: TheController, caller: TheCaller) -> Response:
    """Place the waiting peer into a new call; 503 tells the client to run without one."""
    if caller.role is Role.NOBODY:
        raise UnavailableError("not in a session: the command runs unmanaged")
    if request.headers.get("content-type") != MEDIA_TYPE:
        raise HTTPException(415, f"the body must be {MEDIA_TYPE}")
    records = parse(await request.body())
    try:
        placement = await controller.run(caller, records)
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
    return b"".join(record + b"\0" for record in _records(placement))


def _records(placement: Placement) -> Iterator[bytes]:
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
