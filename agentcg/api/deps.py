"""What a route needs besides its body: the controller, who is calling, checked ids.

All are coroutines although they never wait: plain functions cost a trip to a thread each.
"""

from typing import Annotated, Any, cast

from fastapi import Depends, Path, Request

from agentcg.api.controller import NO_PEER, Caller, Controller, Door, Role
from agentcg.api.gate import Link
from agentcg.errors import DeniedError, NotFoundError
from agentcg.model import ids
from agentcg.model.ids import CallId, SessionId

ANYONE = tuple(Role)
# Whom the web view's guard let through for a token; nothing is behind it but what reads.
_READER = Caller(Role.ADMIN, NO_PEER)


def serves(*roles: Role) -> dict[str, Any]:
    """For a route's `openapi_extra`: who gets more than a refusal. The controller refuses."""
    return {"x-roles": [role.value for role in roles]}


async def _controller(request: Request) -> Controller:
    return cast(Controller, request.app.state.controller)


async def identify(request: Request, controller: "TheController") -> Caller:
    """Ask who is calling, once a request: a peer that keeps its connection may have moved."""
    link: Link = request.state.link
    if link.door is Door.WEB:
        if not getattr(request.state, "reader", False):
            raise DeniedError("no token was shown at the web view's door")
        return _READER
    caller = await controller.identify(link.peer, link.door)
    counted = caller.role in {Role.SESSION, Role.CALL}
    link.gate.claim(link, caller.session if counted else None)
    return caller


TheController = Annotated[Controller, Depends(_controller)]
TheCaller = Annotated[Caller, Depends(identify)]


async def _session(caller: TheCaller, session: Annotated[str, Path(max_length=63)]) -> SessionId:
    if session != "self":
        return ids.session_id(session)
    if caller.session is None:
        raise NotFoundError("'self': the caller is in no session; name one by its id")
    return caller.session


async def _call(call: Annotated[str, Path(max_length=63)]) -> CallId:
    return ids.call_id(call)


TheSession = Annotated[SessionId, Depends(_session)]
TheCall = Annotated[CallId, Depends(_call)]
