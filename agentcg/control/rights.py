"""What a caller may see: the objects of others do not exist for it."""

from agentcg.api.controller import Caller, Role
from agentcg.control import forgotten
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import ConflictError, DeniedError, NotFoundError
from agentcg.model.call import Call
from agentcg.model.gpu import Lease
from agentcg.model.ids import CallId, SessionId


def sees(caller: Caller, session: SessionId) -> bool:
    """Whether a session is there for a caller."""
    return caller.role is Role.ADMIN or (caller.role is Role.SESSION and caller.session == session)


def sees_call(core: Core, caller: Caller, call: Call) -> bool:
    """Whether a call is there for a caller."""
    return _sees(core, caller, call.session, call.id, call.declared_at)


def sees_lease(core: Core, caller: Caller, lease: Lease) -> bool:
    """Whether a lease is there for a caller: to whom its call is."""
    return _sees(core, caller, lease.session, lease.call, lease.asked_at)


def _sees(core: Core, caller: Caller, session: SessionId, call: CallId, since: float) -> bool:
    if caller.role is Role.CALL:
        return caller.call == call
    if caller.role is not Role.SESSION or caller.session != session:
        return caller.role is Role.ADMIN
    # A session of the same name may have been before it: what it had is another's business.
    live = core.state.sessions.get(session)
    return live is not None and since >= live.record.created_at


def asker(core: Core, caller: Caller) -> LiveSession | None:
    """Whose records of what is over are asked for; None: the administrator, for everybody's."""
    if caller.role not in (Role.ADMIN, Role.SESSION):
        raise DeniedError("records are a session's: ask from its agent, or on the host")
    return None if caller.session is None else session_of(core, caller, caller.session)


def session_of(core: Core, caller: Caller, session: SessionId) -> LiveSession:
    """An open session that the caller may see; `self` is its own."""
    if session == "self" and caller.session is not None:
        session = caller.session
    if not sees(caller, session):
        raise NotFoundError(f"session {session[:80]!r}: not open, or not yours to see")
    return core.state.session(session)


def record(core: Core, caller: Caller, call: CallId) -> Call:
    """The record of a call that the caller may see, open or closed."""
    live = core.state.calls.get(call)
    found = core.journal.call(call) if live is None else live.record
    if found is None or not sees_call(core, caller, found):
        raise NotFoundError(f"call {call[:80]!r}: no such call, or not yours; see `agentcg ps -a`")
    return found


async def remembered(core: Core, caller: Caller, call: CallId) -> Call:
    """The record of a call that the caller may see, also if only traces are left of it."""
    try:
        return record(core, caller, call)
    except NotFoundError:
        if caller.role not in (Role.ADMIN, Role.SESSION):
            raise
        found = await forgotten.record(core, call, caller.session)
        if found is None or not sees_call(core, caller, found):
            raise
        return found


def open_call(core: Core, caller: Caller, call: CallId) -> LiveCall:
    """A call that the caller may see, and that is open."""
    record(core, caller, call)
    live = core.state.calls.get(call)
    if live is None:
        raise ConflictError(f"call {call} is closed already: its outcome stays readable")
    return live
