"""The daemon as its doors see it: who may do what, then the deed."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from agentcg.api.controller import Caller, Door, Peer, Role
from agentcg.control import calls, closing, opening, running, sessions
from agentcg.control.core import Core
from agentcg.control.hostview import host_view
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import (
    AgentcgError,
    BadValueError,
    CgroupGoneError,
    ConflictError,
    DeniedError,
    LimitError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from agentcg.intent.options import parse_run
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel import procfs
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause
from agentcg.model.sample import Counters
from agentcg.model.view import CallView, HostView, Placement, SessionView
from agentcg.model.wire import CallPatchBody, SessionBody
from agentcg.telemetry import counters

REMEMBERED = 1000


class Daemon:
    """Implements `agentcg.api.controller.Controller`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def identify(self, peer: Peer, door: Door) -> Caller:
        """Find out who a peer is, from its cgroup alone.

        Root in a container is uid 0 too, so the administrator also has to live in the daemon's
        own pid and user namespaces.
        """
        core = self._core
        try:
            cgroup = pidfds.cgroup_id(peer.pidfd)
        except UnsupportedError:
            root = core.settings.cgroup.root
            cgroup = await core.blocking(pidfds.cgroup_id_by_path, peer.pidfd, root)
        session, call = core.state.place_of(cgroup)
        if call is not None:
            return Caller(Role.CALL, peer, call.record.session, call.record.id)
        if session is not None:
            return Caller(Role.SESSION, peer, session.record.id)
        if door is Door.ADMIN and _same_namespaces(peer.pid):
            path = procfs.cgroup_path(peer.pid).strip("/")
            if not any(_below(path, s.record.cgroup) for s in core.state.sessions.values()):
                return Caller(Role.ADMIN, peer)
        return Caller(Role.NOBODY, peer)

    async def open_session(self, caller: Caller, body: SessionBody) -> SessionView:
        live = await opening.open_session(self._core, caller, body)
        return await self._session_view(live)

    async def sessions(self, caller: Caller) -> Sequence[SessionView]:
        live = [s for s in self._core.state.sessions.values() if _sees(caller, s.record.id)]
        return [await self._session_view(s) for s in live]

    async def session(self, caller: Caller, session: SessionId) -> SessionView:
        return await self._session_view(self._session(caller, session))

    async def close_session(self, caller: Caller, session: SessionId) -> SessionView:
        if caller.role is not Role.ADMIN:
            raise DeniedError("only the administrator closes a session: ask for it on the host")
        live = self._session(caller, session)
        view = await self._session_view(live)
        await sessions.close(self._core, live)
        return view

    async def declare(
        self, caller: Caller, session: SessionId, intent: Intent, *, place: bool
    ) -> CallView:
        if caller.role is Role.CALL:
            raise DeniedError(
                "a call cannot declare calls: what it starts is part of it; declare from the agent"
            )
        live = self._session(caller, session)
        if place and caller.role is not Role.SESSION:
            raise ConflictError(
                "place: peer moves the caller, which must be a process of the session's agent"
            )
        before = None if intent.key is None else self._closed_before(live, intent.key)
        if before is None:
            made = await calls.declare(self._core, live, intent, caller.peer if place else None)
            return await self._call_view(made)
        if place:
            raise ConflictError(
                f"call_id {intent.key!r}: its call {before.id} is closed; declare a new call_id"
            )
        return _closed_view(before)

    async def run(self, caller: Caller, records: Sequence[tuple[str, str]]) -> Placement:
        if caller.role is Role.CALL:
            # A call that uses acg inside: what it starts is part of it already.
            return Placement({})
        if caller.role is not Role.SESSION or caller.session is None:
            raise UnavailableError("this process is in no session: open one with `agentcg open`")
        options = [text for tag, text in records if tag == "O"]
        argv = [text for tag, text in records if tag == "A"]
        env = dict(text.partition("=")[::2] for tag, text in records if tag == "E")
        intent = parse_run(options, argv, env.get("AGENT_RESOURCE_HINT"))
        live = self._session(caller, caller.session)
        if live.record.observe_only is not None:
            # Only looked at: its commands run as if no daemon were there.
            return Placement({})
        try:
            made = await calls.declare(self._core, live, intent, caller.peer)
        except (BadValueError, LimitError):
            raise
        except AgentcgError as e:
            self._core.state.fail_opens += 1
            words = f"a command runs without a call: {e.message}"
            self._core.tell(Kind.FAIL_OPEN, words, session=live.record.id)
            raise
        grant = made.record.grant
        messages = tuple(f"agentcg: {note}" for note in grant.notes)
        return Placement({**grant.env, "AGENTCG_CALL": made.record.id}, messages)

    async def calls(self, caller: Caller, *, everything: bool) -> Sequence[CallView]:
        live = [c for c in self._core.state.calls.values() if self._sees_call(caller, c.record)]
        views = [await self._call_view(c) for c in live]
        if everything:
            closed = self._core.journal.closed_calls(REMEMBERED)
            views += [_closed_view(c) for c in closed if self._sees_call(caller, c)]
        return views

    async def call(self, caller: Caller, call: CallId) -> CallView:
        live = self._core.state.calls.get(call)
        if live is not None and self._sees_call(caller, live.record):
            return await self._call_view(live)
        record = self._core.journal.call(call)
        if record is None or not self._sees_call(caller, record):
            raise _unknown(call)
        return _closed_view(record)

    async def patch(self, caller: Caller, call: CallId, body: CallPatchBody) -> CallView:
        live = self._open_call(caller, call)
        await calls.patch(self._core, live, body)
        return await self._call_view(live)

    async def end(self, caller: Caller, call: CallId, exit_code: int | None) -> CallView:
        live = self._open_call(caller, call)
        if live.state is CallState.DECLARED:
            await closing.close(self._core, live)
        else:
            await running.end(self._core, live, exit_code=exit_code)
        return await self._call_view(live)

    async def freeze(self, caller: Caller, call: CallId) -> CallView:
        live = self._open_call(caller, call)
        await calls.freeze(self._core, live, frozen=True)
        return await self._call_view(live)

    async def thaw(self, caller: Caller, call: CallId) -> CallView:
        live = self._open_call(caller, call)
        await calls.freeze(self._core, live, frozen=False)
        return await self._call_view(live)

    async def kill(self, caller: Caller, call: CallId) -> CallView:
        live = self._open_call(caller, call)
        await running.kill(self._core, live, Cause.REQUEST)
        return await self._call_view(live)

    async def close(self, caller: Caller, call: CallId) -> CallView:
        live = self._open_call(caller, call)
        await closing.close(self._core, live)
        return await self._call_view(live)

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

    def _session(self, caller: Caller, session: SessionId) -> LiveSession:
        if session == "self" and caller.session is not None:
            session = caller.session
        if not _sees(caller, session):
            raise NotFoundError(f"session {session[:80]!r}: not open, or not yours to see")
        return self._core.state.session(session)

    def _closed_before(self, live: LiveSession, key: str) -> Call | None:
        """The closed call of this session under `key`, so that a retry declares nothing twice."""
        if self._core.state.by_key(live, key) is not None:
            return None
        found = self._core.journal.call_by_key(live.record.id, key)
        # One without an outcome never came to be: its making failed, so it may be tried again.
        if found is None or found.outcome is None or found.declared_at < live.record.created_at:
            return None
        return found

    def _open_call(self, caller: Caller, call: CallId) -> LiveCall:
        live = self._core.state.calls.get(call)
        if live is not None and self._sees_call(caller, live.record):
            return live
        record = self._core.journal.call(call)
        if record is not None and self._sees_call(caller, record):
            raise ConflictError(f"call {call} is closed already: its outcome stays readable")
        raise _unknown(call)

    def _sees_call(self, caller: Caller, call: Call) -> bool:
        if caller.role is Role.CALL:
            return caller.call == call.id
        if caller.role is not Role.SESSION or caller.session != call.session:
            return caller.role is Role.ADMIN
        # A session of the same name may have been before it: its calls are another's business.
        live = self._core.state.sessions.get(call.session)
        return live is not None and call.declared_at >= live.record.created_at

    async def _call_view(self, live: LiveCall) -> CallView:
        if live.leaf is None or live.closed.is_set():
            return _closed_view(live.record)
        return CallView(live.record, await self._core.blocking(counters.read, live.leaf))

    async def _session_view(self, live: LiveSession) -> SessionView:
        session, memory = live.tree.session, None
        with contextlib.suppress(CgroupGoneError):  # it closes within a second
            memory = await self._core.blocking(counters.integer, session, "memory.current")
        caps = live.caps
        return SessionView(
            session=live.record,
            open_calls=len(live.calls),
            memory=memory,
            limit=live.limit,
            reserve=None if caps is None else caps.reserve,
            calls_limit=None if caps is None else caps.calls_memory,
            agent_limit=None if caps is None else caps.agent_memory,
        )


def _sees(caller: Caller, session: SessionId) -> bool:
    return caller.role is Role.ADMIN or (caller.role is Role.SESSION and caller.session == session)


def _closed_view(record: Call) -> CallView:
    result = record.outcome
    if result is None:
        return CallView(record, Counters())
    usage = Counters(peak=result.peak, cpu=result.cpu, throttled=result.throttled)
    return CallView(record, replace(usage, oom_kill=result.oom_kills))


def _unknown(call: str) -> NotFoundError:
    return NotFoundError(f"call {call[:80]!r}: no such call, or not yours; see `agentcg ps -a`")


def _below(path: str, ancestor: str) -> bool:
    return path == ancestor or path.startswith(ancestor + "/")


def _same_namespaces(pid: int) -> bool:
    return all(
        procfs.ns_id(pid, kind) == procfs.ns_id(os.getpid(), kind) for kind in ("pid", "user")
    )
