"""What was recorded: traces of calls and sessions, what follows from them, and who lived when."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from agentcg.api.controller import Role
from agentcg.api.deps import TheCall, TheCaller, TheController, TheSession, serves
from agentcg.errors import BadValueError
from agentcg.model import ids
from agentcg.model.call import Call
from agentcg.model.explanation import Explanation
from agentcg.model.ids import SessionId
from agentcg.model.trace import Account, KindStats, Recorded, Trace, Window

router = APIRouter(prefix="/v1", tags=["traces"])

# An answer of so many is below a MiB.
MOST = 2000
# Records of calls are larger: a command alone may take 32 KiB.
LIVED = 200
Time = Annotated[float | None, Query(ge=0, le=1e11, description="Unix seconds.")]
Points = Annotated[
    int, Query(ge=1, le=MOST, description="The most samples: one may stand for several.")
]


async def _window(since: Time = None, until: Time = None, points: Points = 500) -> Window:
    return Window(since, until, points)


async def _one_session(
    session: Annotated[str | None, Query(max_length=63, description="This one alone.")] = None,
) -> SessionId | None:
    return None if session is None else ids.session_id(session)


TheWindow = Annotated[Window, Depends(_window)]
OneSession = Annotated[SessionId | None, Depends(_one_session)]


@router.get("/calls/{call}/trace", openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL))
async def call_trace(
    controller: TheController, caller: TheCaller, call: TheCall, window: TheWindow
) -> Trace:
    """Read what a call used over time, and its events; also when it is over.

    Of one that is forgotten otherwise (`journal.keep`) the record has what its account has.
    """
    return await controller.call_trace(caller, call, window)


@router.get("/calls/{call}/explanation", openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL))
async def explanation(controller: TheController, caller: TheCaller, call: TheCall) -> Explanation:
    """Read the evidence about a call: its timeline, limits and use, and who held the pool.

    A session sees of others what they held together, and no more.
    """
    return await controller.explanation(caller, call)


@router.get("/lived", openapi_extra=serves(Role.ADMIN))
async def lived(controller: TheController, caller: TheCaller, window: TheWindow) -> list[Call]:
    """Read the calls that were open at some moment of a time, whenever they were declared.

    Newest first; `points` is the most calls, and more than 200 are never told. For the next page
    give the least `declared_at` (or `closed_at`, if it is before that) of these as `until`, until
    there is none that is not known yet.
    """
    return list(await controller.lived(caller, replace(window, points=min(window.points, LIVED))))


@router.get("/sessions/{session}/trace", openapi_extra=serves(Role.ADMIN, Role.SESSION))
async def session_trace(
    controller: TheController, caller: TheCaller, session: TheSession, window: TheWindow
) -> Trace:
    """Read what a session used over time, with the events of all its calls."""
    return await controller.session_trace(caller, session, window)


@router.get("/stats", openapi_extra=serves(Role.ADMIN, Role.SESSION))
async def stats(
    controller: TheController,
    caller: TheCaller,
    window: TheWindow,
    kind: Annotated[str | None, Query(max_length=80, description="This class alone.")] = None,
) -> list[KindStats]:
    """Read quantiles of what closed calls used, by class of command, most frequent first.

    `points` is the most classes.
    """
    return list(await controller.stats(caller, window, kind))


@router.get("/accounts", openapi_extra=serves(Role.ADMIN, Role.SESSION))
async def accounts(
    controller: TheController,
    caller: TheCaller,
    window: TheWindow,
    session: OneSession,
    before: Annotated[
        str | None, Query(max_length=63, description="The call that the page before ended with.")
    ] = None,
) -> list[Account]:
    """List closed calls that were declared in a time, newest first, of closed sessions too.

    `points` is the most calls. For the next page give `declared_at` of the last one as `until`
    and its id as `before`.
    """
    beyond = None if before is None else ids.call_id(before)
    if beyond is not None and window.until is None:
        raise BadValueError(
            f"before={beyond}: without `until` there is no page before; give `declared_at` of that "
            f"call as `until`"
        )
    return list(await controller.accounts(caller, session, window, beyond))


@router.get("/recorded", openapi_extra=serves(Role.ADMIN, Role.SESSION))
async def recorded(
    controller: TheController,
    caller: TheCaller,
    window: TheWindow,
    session: OneSession,
    after: Annotated[
        str | None, Query(max_length=63, description="The session that the page before ended with.")
    ] = None,
) -> list[Recorded]:
    """List sessions of which something was recorded in a time, closed ones too, by name.

    `points` is the most sessions. For the next page give the last one's name as `after`.
    """
    beyond = None if after is None else ids.session_id(after)
    return list(await controller.recorded(caller, session, window, beyond))
