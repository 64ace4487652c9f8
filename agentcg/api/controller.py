"""All that the routes may ask of the daemon; `control` provides it, tests hand in a fake."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agentcg.model.call import Call
from agentcg.model.event import Event
from agentcg.model.explanation import Explanation
from agentcg.model.gpu import GpuView, GpuWish, Lease, Program
from agentcg.model.ids import CallId, LeaseId, ProgramId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.metered import Metered
from agentcg.model.trace import Account, KindStats, Recorded, Trace, Window
from agentcg.model.view import CallView, HostView, Placement, SessionView
from agentcg.model.wire import CallPatchBody, SessionBody
from agentcg.model.wire_gpu import LeasePatchBody, ProgramBody


class Door(StrEnum):
    """Which socket a request came in by: of the two Unix ones, or the web view's on loopback."""

    ADMIN = "admin"
    AGENT = "agent"
    WEB = "web"


class Role(StrEnum):
    """What a caller may speak for, which follows from its cgroup.

    - `admin`: everything. At the admin socket, outside every session, and in the daemon's own pid
      and user namespaces.
    - `session`: one session. A process in the session's `agentcg.agent`, at either socket.
    - `call`: one call. A process in the call's cgroup, at either socket.
    - `nobody`: nothing. Everything else.
    """

    ADMIN = "admin"
    SESSION = "session"
    CALL = "call"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a connection. `pidfd` pins it for the request's time."""

    pidfd: int
    pid: int
    uid: int


# Of a connection that does not tell: nothing is done on its behalf that would need a process.
NO_PEER = Peer(-1, -1, -1)


@dataclass(frozen=True, slots=True)
class Caller:
    """A peer whose place among the cgroups is known. Only the cgroup says who it is."""

    role: Role
    peer: Peer
    session: SessionId | None = None
    call: CallId | None = None


class Controller(Protocol):
    """The daemon, seen from a door. Every method checks what the caller may do.

    Objects of others do not exist for a caller: NotFoundError, not DeniedError. All errors are
    `AgentcgError`s; anything else that escapes is a defect.
    """

    async def identify(self, peer: Peer, door: Door) -> Caller:
        """Find out which session or call a peer belongs to."""
        ...

    async def open_session(self, caller: Caller, body: SessionBody) -> SessionView:
        """Take charge of a container, a process tree, or the caller."""
        ...

    async def sessions(self, caller: Caller) -> Sequence[SessionView]:
        """List the sessions that the caller may see."""
        ...

    async def session(self, caller: Caller, session: SessionId) -> SessionView:
        """Read one session."""
        ...

    async def close_session(self, caller: Caller, session: SessionId) -> SessionView:
        """Kill its calls and leave its cgroup as it was found."""
        ...

    async def declare(
        self, caller: Caller, session: SessionId, intent: Intent, *, place: bool
    ) -> CallView:
        """Grant a call; with `place`, move the waiting caller into it."""
        ...

    async def run(
        self, caller: Caller, records: Sequence[tuple[str, str]], *, line: bool
    ) -> Placement:
        """Serve `acg run`, with `line` `acg shell`: (tag, text) as the native client sent them."""
        ...

    async def execed(self, caller: Caller, records: Sequence[tuple[str, str]]) -> Sequence[str]:
        """Serve `acg runc`: the options for the runtime's exec that put it into a call, if any."""
        ...

    async def hook(self, caller: Caller, harness: str, body: bytes) -> bytes:
        """Serve a harness's hook: its stdin, and what goes to its stdout."""
        ...

    async def calls(self, caller: Caller, *, everything: bool) -> Sequence[CallView]:
        """List open calls; with `everything`, closed ones that are still remembered too."""
        ...

    async def call(self, caller: Caller, call: CallId) -> CallView:
        """Read one call: grant, usage, and the outcome when it is over."""
        ...

    async def patch(self, caller: Caller, call: CallId, body: CallPatchBody) -> CallView:
        """Change the limits of an open call, within the session's budget."""
        ...

    async def end(self, caller: Caller, call: CallId, exit_code: int | None) -> CallView:
        """The harness says that the call is over."""
        ...

    async def freeze(self, caller: Caller, call: CallId) -> CallView:
        """Stop every process of the call, and wait for it."""
        ...

    async def thaw(self, caller: Caller, call: CallId) -> CallView:
        """Let a frozen call go on."""
        ...

    async def kill(self, caller: Caller, call: CallId) -> CallView:
        """Kill every process of the call."""
        ...

    async def close(self, caller: Caller, call: CallId) -> CallView:
        """Kill what is left and remove the leaf; answers when it is gone."""
        ...

    async def call_trace(self, caller: Caller, call: CallId, window: Window) -> Trace:
        """The recorded course of a call, open or closed."""
        ...

    async def explanation(self, caller: Caller, call: CallId) -> Explanation:
        """The evidence about a call: of other sessions the administrator alone sees more than sums.

        It is there as long as the call's record.
        """
        ...

    async def lived(self, caller: Caller, window: Window) -> Sequence[Call]:
        """The administrator's: calls that were open at some time, newest first."""
        ...

    async def session_trace(self, caller: Caller, session: SessionId, window: Window) -> Trace:
        """The recorded course of a session; the administrator's also of one that is closed."""
        ...

    async def stats(self, caller: Caller, window: Window, kind: str | None) -> Sequence[KindStats]:
        """Closed calls by the class of their command, those that the caller may see."""
        ...

    async def accounts(
        self, caller: Caller, session: SessionId | None, window: Window, before: CallId | None
    ) -> Sequence[Account]:
        """Closed calls that the caller may see, newest first, `window.points` at most.

        The next page has `until` of the last of this one, and `before` of its id.
        """
        ...

    async def recorded(
        self, caller: Caller, session: SessionId | None, window: Window, after: SessionId | None
    ) -> Sequence[Recorded]:
        """Sessions of which something was recorded, by name, those behind `after`."""
        ...

    async def gpu(self, caller: Caller) -> GpuView:
        """Devices, engine, guards, and the leases that the caller may see."""
        ...

    async def ask_lease(self, caller: Caller, call: CallId | None, wish: GpuWish) -> Lease:
        """GPU memory for an open call, that of the caller where none is named."""
        ...

    async def lease(self, caller: Caller, lease: LeaseId) -> Lease:
        """Read one lease."""
        ...

    async def change_lease(self, caller: Caller, lease: LeaseId, body: LeasePatchBody) -> Lease:
        """Another size, or more time."""
        ...

    async def release_lease(self, caller: Caller, lease: LeaseId) -> Lease:
        """Give it back; what still uses the memory is held to nothing from then on."""
        ...

    async def program(
        self, caller: Caller, session: SessionId | None, program: ProgramId, body: ProgramBody
    ) -> Program:
        """What a program of the session's, that of the caller where none is named, does."""
        ...

    async def metered(self) -> Sequence[Metered]:
        """What all sessions used, for the metrics."""
        ...

    async def host(self, caller: Caller) -> HostView:
        """The host's mechanisms and the daemon's counters."""
        ...

    async def open_calls(self) -> Sequence[Call]:
        """All open calls, for the metrics."""
        ...

    def events(self, caller: Caller, after: int | None) -> AsyncIterator[Event]:
        """Follow events behind `after` (0: all remembered; None: from now on).

        A reader that is too slow gets a `lost` event. A refusal is raised by the call itself: at
        the first step the answer has begun.
        """
        ...
