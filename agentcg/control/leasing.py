"""GPU memory on lease: one loop that reads, decides (agentcg/policy) and carries it out.

Nothing but the loop's turns grants, so nothing is granted twice. With no lease, nobody waiting and
nothing owed to the engine there are none; else one each 200 ms, as the driver tells of no event.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentcg.control.journal import Journal
from agentcg.gpu.device import DeviceReader
from agentcg.gpu.engine import Engine
from agentcg.gpu.guard import GpuGuard
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import (
    GpuNews,
    GpuView,
    GpuWish,
    GuardKind,
    Lease,
    LeaseId,
    Program,
    ProgramId,
    ProgramPhase,
)
from agentcg.model.ids import CallId, SessionId
from agentcg.policy.ledger import Rules


class Tell(Protocol):
    """Publishes news: of a lease, or None: of the engine. Called on the event loop."""

    def __call__(
        self, news: GpuNews, lease: Lease | None, text: str, data: Mapping[str, int | float]
    ) -> None:
        """`data`: `grace` seconds of revoked, `limit` and `was` bytes of engine."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What leases are made with.

    `guards`: those that can hold a lease, strongest first; the first that takes it does. None at
    all: it is granted unguarded. `whose`: the call of a process by its host pid, asked in a thread.
    `leaf`: the cgroup of an open call, None once it has gone. `clock` is put by nobody.
    """

    device: DeviceReader
    guards: Callable[[Lease], Sequence[GpuGuard]]
    whose: Callable[[int], CallId | None]
    leaf: Callable[[CallId], CgroupDir | None]
    journal: Journal
    tell: Tell
    now: Callable[[], float]
    clock: Callable[[], float]
    engine: Engine | None = None
    rules: Rules = field(default_factory=Rules)
    probed: Mapping[GuardKind, str] = field(default_factory=dict)


class Leases:
    """The leases of this host. Used on the event loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def start(self) -> None:
        """Take up what the journal has, once the open calls are known, and begin."""
        raise NotImplementedError

    async def close(self) -> None:
        """Refuse who waits, and stop. Leases and what the engine is owed are in the journal."""
        raise NotImplementedError

    async def ask(
        self,
        session: SessionId,
        call: CallId,
        leaf: CgroupDir | None,
        wish: GpuWish,
        priority: int,
    ) -> Lease:
        """Wait for a lease up to `wish.wait`; one that is denied is returned, with the reason.

        Who is cancelled withdraws. Raises:
            ConflictError: the call has a lease there already.
            LimitError: the session has too many asks waiting.
        """
        raise NotImplementedError

    async def change(
        self, lease_id: LeaseId, *, memory: int | None = None, extend: float | None = None
    ) -> Lease:
        """Give a lease more or less bytes, or let it last `extend` seconds longer.

        Raises:
            NotFoundError: no such lease.
            ConflictError: it is over.
            LimitError: there is no room for more, with the reason.
        """
        raise NotImplementedError

    async def release(self, lease_id: LeaseId) -> Lease:
        """End a lease; it is `released` once the memory is seen free.

        Raises:
            NotFoundError: no such lease.
        """
        raise NotImplementedError

    async def call_ended(self, call: CallId) -> None:
        """No process of the call is left: its leases end, without grace."""
        raise NotImplementedError

    def session_closed(self, session: SessionId) -> None:
        """Forget the programs of a session."""
        raise NotImplementedError

    def tool_took(self, kind: str, seconds: float) -> None:
        """A call of a class of commands (intent.kinds) has closed: so long did it take."""
        raise NotImplementedError

    async def program_event(
        self,
        session: SessionId,
        program: ProgramId,
        phase: ProgramPhase,
        *,
        kv_bytes: int | None = None,
        tool: str | None = None,
        eta: float | None = None,
    ) -> Program:
        """Take in what a program told. `tool` is a class of commands.

        Raises:
            ConflictError: the program is another session's.
            LimitError: the session has too many programs.
        """
        raise NotImplementedError

    def lease(self, lease_id: LeaseId) -> Lease:
        """A lease that is open or was of late.

        Raises:
            NotFoundError: no such lease.
        """
        raise NotImplementedError

    def of_call(self, call: CallId) -> tuple[Lease, ...]:
        """The leases of a call: open, waiting, or of late."""
        raise NotImplementedError

    def view(self) -> GpuView:
        """What was last seen; nothing is read."""
        raise NotImplementedError

    async def look(self) -> GpuView:
        """What is seen now: read anew where the last reading is older than a second."""
        raise NotImplementedError
