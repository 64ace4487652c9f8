"""The daemon as its doors see it: who may do what, then the deed."""

from collections.abc import AsyncIterator, Sequence

from agentcg.api.controller import Caller, Door, Peer, Role
from agentcg.control import (
    calls,
    closing,
    execing,
    explaining,
    freezing,
    hooking,
    identity,
    lending,
    metering,
    opening,
    placing,
    rights,
    running,
    sessions,
    showing,
    viewing,
)
from agentcg.control.core import Core
from agentcg.control.hostview import host_view
from agentcg.control.state import LiveSession
from agentcg.errors import (
    ConflictError,
    DeniedError,
    NotFoundError,
    UnavailableError,
)
from agentcg.harness.dialects import DIALECTS
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event
from agentcg.model.explanation import Explanation
from agentcg.model.gpu import GpuView, GpuWish, Lease, Program
from agentcg.model.ids import CallId, LeaseId, ProgramId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.metered import Metered
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account, KindStats, Recorded, Trace, Window
from agentcg.model.view import CallView, HostView, Placement, SessionView
from agentcg.model.wire import CallPatchBody, SessionBody
from agentcg.model.wire_gpu import LeasePatchBody, ProgramBody
from agentcg.policy.holders import Viewer

REMEMBERED = 1000

_IN_A_CALL = (
    "agentcg: already in a call, so the options of acg run have no effect: begin the command with "
    "AGENT_RESOURCE_HINT=memory:2g instead"
)


class Daemon:
    """Implements `agentcg.api.controller.Controller`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def identify(self, peer: Peer, door: Door) -> Caller:
        return await identity.identify(self._core, peer, door)

    async def open_session(self, caller: Caller, body: SessionBody) -> SessionView:
        live = await opening.open_session(self._core, caller, body)
        return await viewing.session(self._core, live)

    async def sessions(self, caller: Caller) -> Sequence[SessionView]:
        live = [s for s in self._core.state.sessions.values() if rights.sees(caller, s.record.id)]
        return [await viewing.session(self._core, s) for s in live]

    async def session(self, caller: Caller, session: SessionId) -> SessionView:
        return await viewing.session(self._core, rights.session_of(self._core, caller, session))

    async def close_session(self, caller: Caller, session: SessionId) -> SessionView:
        if caller.role is not Role.ADMIN:
            raise DeniedError("only the administrator closes a session: ask for it on the host")
        live = rights.session_of(self._core, caller, session)
        view = await viewing.session(self._core, live)
        await sessions.close(self._core, live)
        return view

    async def declare(
        self, caller: Caller, session: SessionId, intent: Intent, *, place: bool
    ) -> CallView:
        if caller.role is Role.CALL:
            raise DeniedError(
                "a call cannot declare calls: what it starts is part of it; declare from the agent"
            )
        live = rights.session_of(self._core, caller, session)
        if place and caller.role is not Role.SESSION:
            raise ConflictError(
                "place: peer moves the caller, which must be a process of the session's agent"
            )
        before = None if intent.key is None else self._closed_before(live, intent.key)
        if before is None:
            made = await calls.declare(self._core, live, intent, caller.peer if place else None)
            return await viewing.call(self._core, made)
        if place:
            raise ConflictError(
                f"call_id {intent.key!r}: its call {before.id} is closed; declare a new call_id"
            )
        return viewing.closed(before)

    async def run(
        self, caller: Caller, records: Sequence[tuple[str, str]], *, line: bool
    ) -> Placement:
        if caller.role is Role.CALL:
            # A call that uses acg inside: what it starts is part of it already.
            asked = not line and any(tag == "O" for tag, _ in records)
            return Placement({}, (_IN_A_CALL,) if asked else ())
        if caller.role is not Role.SESSION or caller.session is None:
            raise UnavailableError("this process is in no session: open one with `agentcg open`")
        live = rights.session_of(self._core, caller, caller.session)
        return await placing.run(self._core, live, caller.peer, records, line=line)

    async def execed(self, caller: Caller, records: Sequence[tuple[str, str]]) -> Sequence[str]:
        return await execing.execed(self._core, records, caller.peer)

    async def hook(self, caller: Caller, harness: str, body: bytes) -> bytes:
        dialect = DIALECTS.get(harness)
        if dialect is None:
            known = ", ".join(DIALECTS)
            raise NotFoundError(f"harness {harness[:80]!r}: not known; use one of {known}")
        if caller.role is not Role.SESSION or caller.session is None:
            # Also in a call: what an agent does that a tool started is part of that tool's call.
            return b""
        live = rights.session_of(self._core, caller, caller.session)
        return await hooking.hook(self._core, live, dialect, body)

    async def calls(self, caller: Caller, *, everything: bool) -> Sequence[CallView]:
        core = self._core
        live = [c for c in core.state.calls.values() if rights.sees_call(core, caller, c.record)]
        views = await viewing.calls(self._core, live)
        if everything:
            closed = {c.id: c for c in self._core.journal.closed_calls(REMEMBERED)}
            # Some of the open ones may have closed while they were read.
            views = [v for v in views if v.call.id not in closed]
            seen = [c for c in closed.values() if rights.sees_call(core, caller, c)]
            views += [viewing.closed(c) for c in seen]
        return views

    async def call(self, caller: Caller, call: CallId) -> CallView:
        live = self._core.state.calls.get(call)
        record = rights.record(self._core, caller, call)
        return viewing.closed(record) if live is None else await viewing.call(self._core, live)

    async def call_trace(self, caller: Caller, call: CallId, window: Window) -> Trace:
        record = await rights.remembered(self._core, caller, call)
        return await showing.call(self._core, record, window, caller.session)

    async def explanation(self, caller: Caller, call: CallId) -> Explanation:
        viewer = Viewer(caller.session, caller.call)
        return await explaining.explain(self._core, rights.record(self._core, caller, call), viewer)

    async def lived(self, caller: Caller, window: Window) -> Sequence[Call]:
        if caller.role is not Role.ADMIN:
            raise DeniedError("who lived when is the administrator's to read: ask on the host")
        return await showing.lived(self._core, window)

    async def session_trace(self, caller: Caller, session: SessionId, window: Window) -> Trace:
        live = self._core.state.sessions.get(session)
        if live is not None or caller.role is not Role.ADMIN:
            live = rights.session_of(self._core, caller, session)
        return await showing.session(self._core, session, live, window, caller.session)

    async def stats(self, caller: Caller, window: Window, kind: str | None) -> Sequence[KindStats]:
        return await showing.stats(self._core, rights.asker(self._core, caller), window, kind)

    async def accounts(
        self, caller: Caller, session: SessionId | None, window: Window, before: CallId | None
    ) -> Sequence[Account]:
        asker = rights.asker(self._core, caller)
        return await showing.accounts(self._core, asker, session, window, before)

    async def recorded(
        self, caller: Caller, session: SessionId | None, window: Window, after: SessionId | None
    ) -> Sequence[Recorded]:
        asker = rights.asker(self._core, caller)
        return await showing.recorded(self._core, asker, session, window, after)

    async def gpu(self, caller: Caller) -> GpuView:
        return await lending.view(self._core, caller)

    async def ask_lease(self, caller: Caller, call: CallId | None, wish: GpuWish) -> Lease:
        return await lending.ask_for(self._core, caller, call, wish)

    async def lease(self, caller: Caller, lease: LeaseId) -> Lease:
        return lending.lease(self._core, caller, lease)

    async def change_lease(self, caller: Caller, lease: LeaseId, body: LeasePatchBody) -> Lease:
        return await lending.change(self._core, caller, lease, body)

    async def release_lease(self, caller: Caller, lease: LeaseId) -> Lease:
        return await lending.release(self._core, caller, lease)

    async def program(
        self, caller: Caller, session: SessionId | None, program: ProgramId, body: ProgramBody
    ) -> Program:
        return await lending.program(self._core, caller, session, program, body)

    async def metered(self) -> Sequence[Metered]:
        return await metering.metered(self._core)

    async def patch(self, caller: Caller, call: CallId, body: CallPatchBody) -> CallView:
        live = rights.open_call(self._core, caller, call)
        await calls.patch(self._core, live, body)
        return await viewing.call(self._core, live)

    async def end(self, caller: Caller, call: CallId, exit_code: int | None) -> CallView:
        live = rights.open_call(self._core, caller, call)
        if live.state is CallState.DECLARED:
            await closing.close(self._core, live)
        else:
            await running.end(self._core, live, exit_code=exit_code)
        return await viewing.call(self._core, live)

    async def freeze(self, caller: Caller, call: CallId) -> CallView:
        live = rights.open_call(self._core, caller, call)
        await freezing.freeze(self._core, live, frozen=True)
        live.for_room = False  # by request: it is thawed by request
        return await viewing.call(self._core, live)

    async def thaw(self, caller: Caller, call: CallId) -> CallView:
        live = rights.open_call(self._core, caller, call)
        await freezing.freeze(self._core, live, frozen=False)
        return await viewing.call(self._core, live)

    async def kill(self, caller: Caller, call: CallId) -> CallView:
        live = rights.open_call(self._core, caller, call)
        await running.kill(self._core, live, Cause.REQUEST)
        return await viewing.call(self._core, live)

    async def close(self, caller: Caller, call: CallId) -> CallView:
        live = rights.open_call(self._core, caller, call)
        await closing.close(self._core, live)
        return await viewing.call(self._core, live)

    async def host(self, caller: Caller) -> HostView:
        if caller.role is Role.NOBODY:
            raise DeniedError("this process is in no session: nothing here is its business")
        return await host_view(self._core, sessions=caller.role is Role.ADMIN)

    async def open_calls(self) -> Sequence[Call]:
        return [c.record for c in self._core.state.calls.values()]

    def events(self, caller: Caller, after: int | None) -> AsyncIterator[Event]:
        if caller.role is Role.NOBODY:
            raise DeniedError("this process is in no session: nothing here is its business")

        def wanted(event: Event) -> bool:
            if caller.role is Role.ADMIN:
                return True
            if caller.role is Role.SESSION:
                return event.session == caller.session
            return caller.role is Role.CALL and event.call == caller.call

        return self._core.bus.follow(after, wanted)

    def _closed_before(self, live: LiveSession, key: str) -> Call | None:
        """The closed call of this session under `key`, so that a retry declares nothing twice."""
        if self._core.state.by_key(live, key) is not None:
            return None
        found = self._core.journal.call_by_key(live.record.id, key)
        # One without an outcome never came to be: its making failed, so it may be tried again.
        if found is None or found.outcome is None or found.declared_at < live.record.created_at:
            return None
        return found
