"""POST /v1/ui/links: how an administrator gets into the web view."""

import time
from typing import cast

from fastapi import APIRouter, Request

from agentcg.api.controller import Role
from agentcg.api.deps import TheCaller, serves
from agentcg.api.web.access import LINK_FOR, Access
from agentcg.errors import DeniedError, UnsupportedError
from agentcg.model.view import UiLink

router = APIRouter(prefix="/v1/ui", tags=["ui"])


@router.post("/links", status_code=201, openapi_extra=serves(Role.ADMIN))
async def link(request: Request, caller: TheCaller) -> UiLink:
    """Make a link into the web view, which opens once and within a minute."""
    if caller.role is not Role.ADMIN:
        raise DeniedError("the web view shows all sessions: ask at the admin socket, on the host")
    access = cast(Access | None, request.app.state.access)
    if access is None:
        raise UnsupportedError(
            "no web view is served: set web.enabled: true in the daemon's configuration and "
            "restart it; where it is set, the daemon's log says why web.port could not be had"
        )
    return UiLink(access.link(time.monotonic()), LINK_FOR)
