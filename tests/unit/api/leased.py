"""What the fake controller knows of GPU memory."""

from dataclasses import dataclass, field, replace

from agentcg.api.controller import Caller
from agentcg.errors import NotFoundError
from agentcg.model.gpu import (
    EngineStats,
    GpuReading,
    GpuView,
    GpuWish,
    GuardKind,
    Lease,
    LeaseState,
    Program,
)
from agentcg.model.ids import CallId, LeaseId, ProgramId, SessionId
from agentcg.model.wire_gpu import LeasePatchBody, ProgramBody

GIB = 1 << 30
DEVICE = GpuReading("GPU-1", "H\x1b[2J200", 80 * GIB, 60 * GIB, 20 * GIB, (), 1.0)
ENGINE = EngineStats(40 * GIB, 30 * GIB, 4 * GIB, 3, 2, (), 1.0)


@dataclass
class Gpus:
    """A device with leases, each granted at once, or denied where the device is smaller."""

    leases: dict[LeaseId, Lease] = field(default_factory=dict)
    told: list[tuple[SessionId | None, ProgramId, ProgramBody]] = field(default_factory=list)


class Leased:
    """Grants what the device can hold, under g-0, g-1 and so on."""

    gpus: Gpus

    async def gpu(self, _: Caller) -> GpuView:
        guards = {GuardKind.NVML: "", GuardKind.DRIVER: "driver 580 has no limits"}
        leases = tuple(self.gpus.leases.values())
        return GpuView((DEVICE,), ENGINE, None, leases, guards, 2 * GIB)

    async def ask_lease(self, caller: Caller, call: CallId | None, wish: GpuWish) -> Lease:
        number, session = len(self.gpus.leases), caller.session or SessionId("s-home")
        ids = LeaseId(f"g-{number}"), session, call or CallId("c-own")
        if wish.memory > DEVICE.total:
            return Lease(*ids, wish, LeaseState.DENIED, 5.0, reason="at most 80 GiB")
        made = Lease(
            *ids,
            wish,
            LeaseState.GRANTED,
            5.0,
            gpu="GPU-1",
            bytes=wish.memory,
            guard=GuardKind.NVML,
        )
        self.gpus.leases[made.id] = made
        return made

    async def lease(self, _: Caller, lease: LeaseId) -> Lease:
        if lease not in self.gpus.leases:
            raise NotFoundError(f"lease {lease!r}: no such lease")
        return self.gpus.leases[lease]

    async def change_lease(self, caller: Caller, lease: LeaseId, body: LeasePatchBody) -> Lease:
        old = await self.lease(caller, lease)
        self.gpus.leases[lease] = replace(old, bytes=body.memory or old.bytes)
        return self.gpus.leases[lease]

    async def release_lease(self, caller: Caller, lease: LeaseId) -> Lease:
        old = await self.lease(caller, lease)
        self.gpus.leases[lease] = replace(old, state=LeaseState.EXPIRING)
        return self.gpus.leases[lease]

    async def program(
        self, _: Caller, session: SessionId | None, program: ProgramId, body: ProgramBody
    ) -> Program:
        self.gpus.told.append((session, program, body))
        return Program(program, session or SessionId("s-home"), body.event, 5.0)
