"""Who may open which session, on what target."""

from agentcg.api.controller import Caller, Role
from agentcg.control import observing, runtimes, sessions
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.errors import BadValueError, ConflictError, DeniedError, LimitError
from agentcg.kernel import pidfd as pidfds
from agentcg.model.session import Undeclared
from agentcg.model.wire import SessionBody


async def open_session(core: Core, caller: Caller, body: SessionBody) -> LiveSession:
    """Open a session for a caller.

    Raises:
        DeniedError: the caller may not open this one.
        BadValueError: the body does not fit the runtime.
        UnsupportedError: it asks for what this host cannot do.
    """
    body = core.settings.sessions.fill(body)
    # One at a time, so that two of the same container cannot both find it free, nor two of the
    # same uid both find room.
    async with core.state.opening:
        if body.runtime == "self":
            return await _open_self(core, caller, body)
        return await _open_other(core, caller, body)


async def _open_other(core: Core, caller: Caller, body: SessionBody) -> LiveSession:
    if caller.role is not Role.ADMIN:
        raise DeniedError(
            f"runtime {body.runtime!r}: only the administrator opens such a session; "
            f"a process may open one for itself with runtime 'self' where that is configured"
        )
    _observed(core, body)
    if body.runtime == "docker":
        return await runtimes.open_docker(core, body)
    if body.runtime == "scope":
        return await runtimes.open_scope(core, body)
    if body.container is not None:
        raise BadValueError("container: a bare session has none; give a pid or nothing")
    return await sessions.open_bare(core, body, body.pid)


async def _open_self(core: Core, caller: Caller, body: SessionBody) -> LiveSession:
    """The caller's own process tree, with at most the budget that the configuration gives."""
    if body.pid is not None or body.container is not None:
        raise BadValueError("pid, container: runtime 'self' is always the caller's own tree")
    if caller.session is not None:
        raise ConflictError(
            f"the caller is in session {caller.session} already: declare calls in it"
        )
    if caller.role is not Role.ADMIN:
        allowed = core.settings.self_sessions
        if not allowed.enabled:
            raise DeniedError("runtime 'self' is off: set self_sessions.enabled, or ask root")
        mine = [s for s in core.state.sessions.values() if s.record.uid == caller.peer.uid]
        if len(mine) >= allowed.per_uid:
            raise LimitError(
                f"uid {caller.peer.uid} has {len(mine)} sessions, self_sessions.per_uid allows "
                f"{allowed.per_uid}: end one first"
            )
        body = body.model_copy(
            update={
                "budget": allowed.budget,
                "priority": min(body.priority, 0),
                "undeclared": core.settings.sessions.undeclared,
            }
        )
    _observed(core, body)
    live = await sessions.open_bare(core, body, caller.peer.pid, uid=caller.peer.uid)
    if not pidfds.alive(caller.peer.pidfd):
        await sessions.close(core, live)
        raise ConflictError("the caller died while its session was opened")
    return live


def _observed(core: Core, body: SessionBody) -> None:
    if body.undeclared is Undeclared.PLACE:
        observing.need(core)
