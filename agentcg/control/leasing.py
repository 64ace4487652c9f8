"""GPU memory on lease: one loop that reads, decides (agentcg/policy) and carries it out.

Nothing but the loop's turns grants, so nothing is granted twice. With no lease, nobody waiting and
nothing owed to the engine there are none; else one each 200 ms, as the driver tells of no event.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentcg.control.journal import Journal
from agentcg.control.lease_book import Asking, Book, BusyError, Held
from agentcg.control.lease_programs import Programs
from agentcg.control.lessor import Lessor
from agentcg.control.tenures import Tenures
from agentcg.errors import ConflictError, LimitError
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
    LeaseState,
    Program,
    ProgramId,
    ProgramPhase,
)
from agentcg.model.ids import CallId, SessionId
from agentcg.policy import lease_words as words
from agentcg.policy.lease_plan import Ask
from agentcg.policy.ledger import Rules

_OLD = 1.0  # seconds after which a reading is not what is now


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
    all: it is granted unguarded. `engine_gpu`: the device of an engine that does not tell its
    processes; needed where there are several. `whose`: the call of a process by its host pid,
    asked in a thread. `leaf`: the cgroup of an open call, None once it has gone. `clock` is put
    by nobody.
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
    engine_gpu: str | None = None
    rules: Rules = field(default_factory=Rules)
    probed: Mapping[GuardKind, str] = field(default_factory=dict)


class Leases:
    """The leases of this host. Used on the event loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._book = Book()
        self._programs = Programs(parts.now)
        self._tenures = Tenures(parts, self._book)
        self._lessor = Lessor(parts, self._book, self._tenures, self._programs)
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what the journal has, once the open calls are known, and begin."""
        await self.recall()
        self._loop = asyncio.get_running_loop().create_task(self._lessor.forever())

    async def recall(self) -> None:
        """Take up what the daemon before this one granted, and told the engine."""
        if self._lessor.desk is not None:
            self._lessor.desk.recall()
        for lease in self._parts.journal.open_leases():
            await self._tenures.resume(lease)

    async def turn(self) -> None:
        """Do now what is due; `start` has it done again and again."""
        await self._lessor.turn()

    async def close(self) -> None:
        """Refuse who waits, and stop. Leases and what the engine is owed are in the journal.

        Where nothing is leased the engine has all back.
        """
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        for asking in list(self._book.asking.values()):
            self._tenures.deny(asking, words.STOPPING)
        if self._lessor.desk is not None:
            await self._lessor.desk.stop()
            if not self._book.held:
                await self._lessor.desk.give_back()

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
        taken = self._book.devices_of(call)
        every = {one.uuid for one in self._book.seen.readings}
        waits = any(one.lease.call == call for one in self._book.asking.values())
        if waits or wish.gpu in taken or (taken and every <= taken):
            raise ConflictError(
                f"call {call}: it has a lease of this GPU's memory, or waits for one; change that "
                f"one, or ask again once it is released"
            )
        lease_id = LeaseId(f"g-{secrets.token_hex(4)}")
        now = self._parts.now()
        lease = Lease(lease_id, session, call, wish, LeaseState.QUEUED, now, priority)
        return await self._wait(lease, wish.memory, wish.least, leaf)

    async def change(
        self, lease_id: LeaseId, *, memory: int | None = None, extend: float | None = None
    ) -> Lease:
        """Give a lease more or less bytes, or let it last `extend` seconds longer.

        Raises:
            NotFoundError: no such lease.
            BusyError: it is just being changed.
            ConflictError: it is over.
            LimitError: there is no room for more, with the reason.
        """
        held = self._book.held.get(lease_id)
        if held is None or held.ending:
            raise ConflictError(f"lease {lease_id}: it is {self._book.find(lease_id).state.value}")
        if held.changing or held.back is not None or lease_id in self._book.asking:
            raise BusyError(f"lease {lease_id}: it is just being changed; try again")
        if memory is not None and memory > held.lease.bytes:
            lease = held.lease
            found = await self._wait(lease, memory, None, held.leaf, held=held)
            if found.state is LeaseState.DENIED:
                raise LimitError(found.reason)
        elif memory is not None:
            await self._tenures.lessen(held, memory)
        if extend is not None:
            self._tenures.extend(held, extend)
        return held.lease

    async def release(self, lease_id: LeaseId) -> Lease:
        """End a lease; it is `released` once the memory is seen free.

        Raises:
            NotFoundError: no such lease.
        """
        held, asking = self._book.held.get(lease_id), self._book.asking.get(lease_id)
        if asking is not None and held is None:
            self._tenures.deny(asking, words.RELEASED)
        if held is not None:
            self._tenures.end(held, words.RELEASED, grace=self._parts.rules.grace)
            self._lessor.wake()
        return self._book.find(lease_id)

    async def call_ended(self, call: CallId) -> None:
        """No process of the call is left: its leases end, without grace."""
        for held in [one for one in self._book.held.values() if one.lease.call == call]:
            self._tenures.end(held, words.CALL_OVER, grace=0.0)
            held.grace, held.gone = self._parts.clock(), True
        for asking in [one for one in self._book.asking.values() if one.lease.call == call]:
            self._tenures.deny(asking, words.CALL_OVER)
        self._lessor.wake()

    def session_closed(self, session: SessionId) -> None:
        """Forget the programs of a session."""
        self._programs.forget(session)

    def tool_took(self, kind: str, seconds: float) -> None:
        """A call of a class of commands (intent.kinds) has closed: so long did it take."""
        self._programs.durations.add(kind, seconds)

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
            LimitError: the session has too many programs.
        """
        told = self._programs.heard(session, program, phase, kv_bytes=kv_bytes, tool=tool, eta=eta)
        if self._book.asking:
            self._lessor.wake()
        return told

    def lease(self, lease_id: LeaseId) -> Lease:
        """A lease that is open or was of late.

        Raises:
            NotFoundError: no such lease.
        """
        return self._book.find(lease_id)

    def of_call(self, call: CallId) -> tuple[Lease, ...]:
        """The leases of a call: open, waiting, or of late."""
        late = tuple(one for one in self._book.late.values() if one.call == call)
        return tuple(one for one in self._book.leases() if one.call == call) + late

    def view(self) -> GpuView:
        """What was last seen; nothing is read."""
        desk, seen = self._lessor.desk, self._book.seen
        total = max((one.total for one in seen.readings), default=0)
        return GpuView(
            devices=seen.readings,
            engine=None if desk is None else desk.stats,
            caps=None if desk is None else desk.caps,
            leases=self._book.leases(),
            guards=self._parts.probed,
            reserve=self._parts.rules.reserve_of(total) if total else 0,
        )

    async def look(self) -> GpuView:
        """What is seen now: read anew where the last reading is older than a second."""
        if not self._lessor.busy and self._parts.clock() - self._book.seen.at > _OLD:
            await self._lessor.look()
        return self.view()

    async def _wait(
        self,
        lease: Lease,
        memory: int,
        least: int | None,
        leaf: CgroupDir | None,
        *,
        held: Held | None = None,
    ) -> Lease:
        """Wait for the answer; who is cancelled has withdrawn."""
        rules, clock = self._parts.rules, self._parts.clock()
        mine = [one for one in self._book.asking.values() if one.lease.session == lease.session]
        # A change is of a lease that counts already, and has one at a time.
        if held is None and len(mine) >= rules.waiting:
            raise LimitError(
                f"session {lease.session}: {rules.waiting} calls wait for GPU memory already; "
                f"ask again when one of them has it"
            )
        ask = Ask(
            lease.id,
            memory,
            memory if least is None else min(least, memory),
            lease.priority,
            clock,
            clock + lease.wish.wait,
            clock + max(lease.wish.wait, rules.timeout + rules.grace),
            gpu=lease.wish.gpu if held is None else lease.gpu,
            held=0 if held is None else lease.bytes,
            besides=self._book.devices_of(lease.call) if held is None else frozenset(),
        )
        answer: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        asking = Asking(ask, lease, leaf, answer, held)
        self._book.asking[lease.id] = asking
        self._lessor.wake()
        try:
            return await answer
        except asyncio.CancelledError:
            self._book.withdraw(asking)
            if held is None and lease.id in self._book.held:
                await self.release(lease.id)
            raise
