"""Leases that answer as a test says."""

import asyncio
from dataclasses import dataclass, field, replace

from agentcg.errors import AgentcgError, NotFoundError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import (
    GpuReading,
    GpuView,
    GpuWish,
    GuardKind,
    Lease,
    LeaseState,
    Program,
    ProgramPhase,
)
from agentcg.model.ids import CallId, LeaseId, ProgramId, SessionId

GIB = 1 << 30
DEVICE = GpuReading("GPU-1", "H200", 80 * GIB, 0, 80 * GIB, (), 5.0)

LEASE = Lease(
    *(LeaseId("g-0"), SessionId("s"), CallId("c-1"), GpuWish(8 * GIB), LeaseState.ACTIVE, 5.0),
    gpu="GPU-1",
    bytes=4 * GIB,
)


@dataclass
class Lessor:
    """Grants at once, unless `room` is cleared: then when it is set. `refuses` is raised."""

    room: asyncio.Event = field(default_factory=asyncio.Event)
    refuses: AgentcgError | None = None
    leases: dict[LeaseId, Lease] = field(default_factory=dict)
    ended: list[CallId] = field(default_factory=list)
    told: list[tuple[ProgramId, ProgramPhase]] = field(default_factory=list)
    took: list[tuple[str, float]] = field(default_factory=list)

    async def ask(
        self,
        session: SessionId,
        call: CallId,
        leaf: CgroupDir | None,
        wish: GpuWish,
        priority: int,
    ) -> Lease:
        if self.refuses is not None:
            raise self.refuses
        number = LeaseId(f"g-{len(self.leases)}")
        made = Lease(number, session, call, wish, LeaseState.QUEUED, 5.5, priority, reason="Waits.")
        self.leases[number] = made
        try:
            await self.room.wait()
        except asyncio.CancelledError:
            await self.release(number)
            raise
        if self.leases[number].state is LeaseState.QUEUED:
            self.leases[number] = replace(
                made,
                state=LeaseState.GRANTED,
                gpu="GPU-1",
                bytes=wish.memory,
                guard=GuardKind.DRIVER,
                reason="",
            )
        return self.leases[number]

    async def release(self, lease: LeaseId) -> Lease:
        gone = replace(self.lease(lease), state=LeaseState.RELEASED)
        self.leases[lease] = gone
        return gone

    async def change(
        self, lease: LeaseId, *, memory: int | None = None, extend: float | None = None
    ) -> Lease:
        if self.refuses is not None:
            raise self.refuses
        if memory is not None and memory > self.lease(lease).bytes:
            await self.room.wait()
        self.leases[lease] = replace(self.lease(lease), bytes=memory or 0)
        return self.leases[lease]

    async def call_ended(self, call: CallId) -> None:
        self.ended.append(call)

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
        self.told.append((program, phase))
        return Program(program, session, phase, 5.5, kv_bytes, tool)

    def tool_took(self, kind: str, seconds: float) -> None:
        self.took.append((kind, seconds))

    def lease(self, lease: LeaseId) -> Lease:
        if lease not in self.leases:
            raise NotFoundError(lease)
        return self.leases[lease]

    def of_call(self, call: CallId) -> tuple[Lease, ...]:
        return tuple(one for one in self.leases.values() if one.call == call)

    def view(self) -> GpuView:
        return GpuView((DEVICE,), leases=tuple(self.leases.values()))

    async def look(self) -> GpuView:
        return self.view()
