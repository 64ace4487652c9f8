"""A controller that remembers calls in a dictionary, and a server around it in a thread."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from agentcg.api.controller import Caller, Door, Peer, Role
from agentcg.api.server import serve
from agentcg.errors import ConflictError, DeniedError, NotFoundError
from agentcg.model.call import ALIVE, Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.sample import Counters
from agentcg.model.session import Budget, Runtime, Session
from agentcg.model.trace import Account, KindStats, Recorded, Trace, Window
from agentcg.model.view import CallView, Check, HostView, Placement, SessionView
from agentcg.model.wire import CallPatchBody, SessionBody
from tests.unit.api.explained import Explained
from tests.unit.api.leased import Gpus, Leased
from tests.unit.api.metered import Meters
from tests.unit.api.past import Past
from tests.unit.api.serving import exception_of, is_open, listening

HOME = SessionId("s-home")
EMPTY = (2**31, 0, (), ())


class FakeController(Explained, Leased, Meters):
    """The agent door speaks for the session `s-home`, the admin door for everything."""

    def __init__(self) -> None:
        self.role: Role | None = None
        self.peers: list[Peer] = []
        self.open_pidfds: list[bool] = []
        self.bodies: list[object] = []
        self.placement: Placement | Exception = Placement({"A": "1"}, ("hello",))
        self.said = b""
        self.options: tuple[str, ...] = ()
        self.failure: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.past: list[Event] = [Event(n, float(n), Kind.DAEMON, text=f"e{n}") for n in (1, 2, 3)]
        self.streams = 0
        self.kept: dict[SessionId, Session] = {
            HOME: Session(HOME, Runtime.BARE, "agentcg.slice/x", 7, name="home")
        }
        self.views: dict[CallId, CallView] = {}
        self.traces: dict[str, Trace] = {}
        self.kinds: list[KindStats] = []
        self.past_calls = Past()
        self.gpus = Gpus()

    async def identify(self, peer: Peer, door: Door) -> Caller:
        self.peers.append(peer)
        role = self.role or (Role.ADMIN if door is Door.ADMIN else Role.SESSION)
        inside = role in {Role.SESSION, Role.CALL}
        return Caller(role, peer, HOME if inside else None)

    async def open_session(self, caller: Caller, body: SessionBody) -> SessionView:
        self.bodies.append(body)
        if caller.role is not Role.ADMIN and body.runtime != "self":
            raise DeniedError("only the administrator opens sessions for others")
        session = Session(
            SessionId(body.id or f"s-{len(self.kept)}"),
            Runtime.DOCKER if body.runtime == "docker" else Runtime.BARE,
            "agentcg.slice/new",
            8,
            name=body.name,
            priority=body.priority,
            budget=Budget(memory=body.budget.memory),
        )
        self.kept[session.id] = session
        return SessionView(session, 0)

    def _seen(self, caller: Caller) -> list[Session]:
        return [s for s in self.kept.values() if caller.role is Role.ADMIN or s.id == HOME]

    async def sessions(self, caller: Caller) -> Sequence[SessionView]:
        return [SessionView(s, len(self.views), 2**30, 2**31) for s in self._seen(caller)]

    async def session(self, caller: Caller, session: SessionId) -> SessionView:
        for view in await self.sessions(caller):
            if view.session.id == session:
                return view
        raise NotFoundError(f"no session {session!r}")

    async def close_session(self, caller: Caller, session: SessionId) -> SessionView:
        view = await self.session(caller, session)
        del self.kept[session]
        return view

    async def declare(
        self, caller: Caller, session: SessionId, intent: Intent, *, place: bool
    ) -> CallView:
        await self.session(caller, session)
        for view in self.views.values():
            if intent.key is not None and view.call.intent.key == intent.key:
                return view
        grant = Grant(
            memory_limit=intent.memory.limit,
            priority=7 if place else 0,
            enforced={"memory.limit": "ok", "io.weight": "unsupported: no iocost"},
        )
        return self.add(f"c-{len(self.views)}", intent, grant, session=session)

    def add(self, call: str, intent: Intent, grant: Grant, *, session: SessionId) -> CallView:
        record = Call(CallId(call), session, intent, grant, CallState.RUNNING, time.time() - 9)
        view = CallView(record, Counters(memory=5 * 2**20, peak=9 * 2**20, cpu=1.5))
        self.views[record.id] = view
        return view

    async def run(
        self, caller: Caller, records: Sequence[tuple[str, str]], *, line: bool
    ) -> Placement:
        self.bodies.append([("line", ""), *records] if line else records)
        if isinstance(self.placement, Exception):
            raise self.placement
        return self.placement

    async def execed(self, caller: Caller, records: Sequence[tuple[str, str]]) -> Sequence[str]:
        if caller.role is not Role.ADMIN:
            raise DeniedError("not yours")
        self.bodies.append(records)
        return self.options

    async def hook(self, caller: Caller, harness: str, body: bytes) -> bytes:
        if harness != "claude-code":
            raise NotFoundError(f"harness {harness!r}")
        self.bodies.append(body)
        return self.said

    async def calls(self, caller: Caller, *, everything: bool) -> Sequence[CallView]:
        if self.failure is not None:
            raise self.failure
        seen = {session.id for session in self._seen(caller)}
        return [
            view
            for view in self.views.values()
            if view.call.session in seen and (everything or view.call.state in ALIVE)
        ]

    async def call(self, caller: Caller, call: CallId) -> CallView:
        for view in await self.calls(caller, everything=True):
            if view.call.id == call:
                return view
        raise NotFoundError(f"no call {call!r}")

    async def _to(self, caller: Caller, call: CallId, state: CallState) -> CallView:
        view = await self.call(caller, call)
        new = replace(view, call=view.call.to(state))
        self.views[call] = new
        return new

    async def patch(self, caller: Caller, call: CallId, body: CallPatchBody) -> CallView:
        self.bodies.append(body)
        return await self.call(caller, call)

    async def end(self, caller: Caller, call: CallId, exit_code: int | None) -> CallView:
        view = await self._to(caller, call, CallState.EXITED)
        over = replace(view, call=replace(view.call, outcome=Outcome(Cause.EXITED, exit_code)))
        self.views[call] = over
        return over

    async def freeze(self, caller: Caller, call: CallId) -> CallView:
        return await self._to(caller, call, CallState.FROZEN)

    async def thaw(self, caller: Caller, call: CallId) -> CallView:
        return await self._to(caller, call, CallState.RUNNING)

    async def kill(self, caller: Caller, call: CallId) -> CallView:
        view = await self._to(caller, call, CallState.KILLED)
        outcome = Outcome(
            Cause.OOM,
            *(137, 9, 4.0, 3.5, 2**31, 0.5, 1),
            Level.CALL,
            limit=2**31,
            level_limit=2**31,
            advice="ask for 4 GiB",
        )
        over = replace(view, call=replace(view.call, outcome=outcome))
        self.views[call] = over
        return over

    async def close(self, caller: Caller, call: CallId) -> CallView:
        if self.hold is not None:
            await self.hold.wait()
            self.open_pidfds.append(is_open(caller.peer.pidfd))
        view = await self.call(caller, call)
        if view.call.state is CallState.CLOSED:
            raise ConflictError(f"call {call} is closed already")
        return view

    async def call_trace(self, caller: Caller, call: CallId, window: Window) -> Trace:
        self.bodies.append(window)
        return self.traces.get(call) or Trace(HOME, (await self.call(caller, call)).call, *EMPTY)

    async def session_trace(self, caller: Caller, session: SessionId, window: Window) -> Trace:
        self.bodies.append(window)
        await self.session(caller, session)
        return self.traces.get(session) or Trace(session, None, *EMPTY)

    async def stats(self, _: Caller, window: Window, kind: str | None) -> Sequence[KindStats]:
        self.bodies.append(window)
        return [one for one in self.kinds if kind in (None, one.kind)]

    async def accounts(
        self, caller: Caller, session: SessionId | None, window: Window, before: CallId | None
    ) -> Sequence[Account]:
        return self.past_calls.page(session, window, before)

    async def recorded(
        self, caller: Caller, session: SessionId | None, window: Window, after: SessionId | None
    ) -> Sequence[Recorded]:
        return self.past_calls.sessions(session, window, after)

    async def host(self, caller: Caller) -> HostView:
        checks = (Check("memory", True, "memory.max works"), Check("io", False, "no iocost"))
        return HostView("0.1.0", "T0", "6.18", 2**34, 8, checks, {"fail_opens": 2})

    async def open_calls(self) -> Sequence[Call]:
        return [view.call for view in self.views.values()]

    def events(self, caller: Caller, after: int | None) -> AsyncIterator[Event]:
        if caller.role is Role.NOBODY:
            raise DeniedError("not in a session: events are told to sessions")
        return self._events(after)

    async def _events(self, after: int | None) -> AsyncIterator[Event]:
        self.streams += 1
        try:
            for event in self.past:
                if after is not None and event.seq > after:
                    yield event
            await asyncio.Event().wait()
        finally:
            self.streams -= 1


@dataclass
class Running:
    """A server at work, and how to reach into its loop."""

    controller: FakeController
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    thread: threading.Thread
    folder: Path
    web: int

    @property
    def admin(self) -> Path:
        return self.folder / "admin.sock"

    @property
    def agent(self) -> Path:
        return self.folder / "agent.sock"

    def finish(self) -> None:
        # A server that stopped by itself has closed its loop, at any moment before this one.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(30)
        assert not self.thread.is_alive()


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """Serve a fake controller on sockets in `folder` and on loopback, from a thread of its own."""
    sockets = listening(folder)
    web = sockets[Door.WEB].getsockname()[1]
    ready: threading.Event = threading.Event()
    made: list[Running] = []
    failed: list[BaseException] = []

    async def main() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda _, context: failed.append(exception_of(context)))
        made.append(Running(FakeController(), loop, stop, threading.current_thread(), folder, web))
        ready.set()
        await serve(made[0].controller, sockets, stop)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait(30)
    try:
        yield made[0]
    finally:
        made[0].finish()
        for sock in sockets.values():
            sock.close()
    assert failed == []
