"""The JSON routes: each hands a checked body to the controller and answers with a record.

Answers of many are lists: a `Sequence` pydantic writes item by item in Python, in twice the time.
"""

from typing import Annotated

from fastapi import APIRouter, Query

from agentcg.api.controller import Role
from agentcg.api.deps import ANYONE, TheCall, TheCaller, TheController, TheSession, serves
from agentcg.model.view import CallView, HostView, SessionView
from agentcg.model.wire import CallBody, CallPatchBody, EndBody, SessionBody

router = APIRouter(prefix="/v1")


@router.post(
    "/sessions", status_code=201, tags=["sessions"], openapi_extra=serves(Role.ADMIN, Role.NOBODY)
)
async def open_session(
    controller: TheController, caller: TheCaller, body: SessionBody
) -> SessionView:
    """Take charge of a container, the process tree of a pid, or the caller's own."""
    return await controller.open_session(caller, body)


@router.get("/sessions", tags=["sessions"], openapi_extra=serves(*ANYONE))
async def sessions(controller: TheController, caller: TheCaller) -> list[SessionView]:
    """List the sessions that the caller may see."""
    return list(await controller.sessions(caller))


@router.get(
    "/sessions/{session}", tags=["sessions"], openapi_extra=serves(Role.ADMIN, Role.SESSION)
)
async def session(controller: TheController, caller: TheCaller, session: TheSession) -> SessionView:
    """Read one session; `self` is the caller's own."""
    return await controller.session(caller, session)


@router.delete("/sessions/{session}", tags=["sessions"], openapi_extra=serves(Role.ADMIN))
async def close_session(
    controller: TheController, caller: TheCaller, session: TheSession
) -> SessionView:
    """Kill the session's calls and leave its cgroup as it was found."""
    return await controller.close_session(caller, session)


@router.post(
    "/sessions/{session}/calls",
    status_code=201,
    tags=["calls"],
    openapi_extra=serves(Role.ADMIN, Role.SESSION),
)
async def declare(
    controller: TheController, caller: TheCaller, session: TheSession, body: CallBody
) -> CallView:
    """Declare a call and get its grant; the same `call_id` gives the same call again."""
    return await controller.declare(caller, session, body.intent(), place=body.place == "peer")


@router.get("/calls", tags=["calls"], openapi_extra=serves(*ANYONE))
async def calls(
    controller: TheController,
    caller: TheCaller,
    everything: Annotated[
        bool, Query(alias="all", description="Closed calls that are still remembered, too.")
    ] = False,
) -> list[CallView]:
    """List open calls."""
    return list(await controller.calls(caller, everything=everything))


@router.get(
    "/calls/{call}", tags=["calls"], openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL)
)
async def call(controller: TheController, caller: TheCaller, call: TheCall) -> CallView:
    """Read one call: its grant, its usage, and the outcome when it is over."""
    return await controller.call(caller, call)


@router.patch(
    "/calls/{call}", tags=["calls"], openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL)
)
async def patch(
    controller: TheController, caller: TheCaller, call: TheCall, body: CallPatchBody
) -> CallView:
    """Change the limits of an open call, within the session's budget."""
    return await controller.patch(caller, call, body)


@router.delete(
    "/calls/{call}", tags=["calls"], openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL)
)
async def close(controller: TheController, caller: TheCaller, call: TheCall) -> CallView:
    """Kill what is left of the call; the answer comes when it is gone."""
    return await controller.close(caller, call)


@router.post(
    "/calls/{call}/end", tags=["calls"], openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL)
)
async def end(
    controller: TheController, caller: TheCaller, call: TheCall, body: EndBody | None = None
) -> CallView:
    """Say that the call is over, and perhaps how."""
    return await controller.end(caller, call, body.exit_code if body else None)


@router.post(
    "/calls/{call}/freeze",
    tags=["calls"],
    openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL),
)
async def freeze(controller: TheController, caller: TheCaller, call: TheCall) -> CallView:
    """Stop every process of the call."""
    return await controller.freeze(caller, call)


@router.post(
    "/calls/{call}/thaw", tags=["calls"], openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL)
)
async def thaw(controller: TheController, caller: TheCaller, call: TheCall) -> CallView:
    """Let a frozen call go on."""
    return await controller.thaw(caller, call)


@router.post(
    "/calls/{call}/kill", tags=["calls"], openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL)
)
async def kill(controller: TheController, caller: TheCaller, call: TheCall) -> CallView:
    """Kill every process of the call."""
    return await controller.kill(caller, call)


@router.get("/host", tags=["host"], openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL))
async def host(controller: TheController, caller: TheCaller) -> HostView:
    """Read which mechanisms work here, and the daemon's counters."""
    return await controller.host(caller)
