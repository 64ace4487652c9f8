"""Who holds GPU memory and who waits for it, as the daemon remembers it."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcg.errors import ConflictError, NotFoundError
from agentcg.gpu.guard import GpuGuard
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GpuReading, Lease, LeaseId, LeaseState
from agentcg.model.ids import CallId
from agentcg.policy.lease_plan import Ask
from agentcg.policy.ledger import Claim

_LATE = 256  # leases that are over and still told of


class BusyError(ConflictError):
    """A lease is just being changed: a moment later it is not."""


@dataclass(slots=True)
class Held:
    """A lease that has memory; times by the daemon's clock.

    `ends`: when it is over, None open. Once it ends: `grace` is until when it is left alone, and
    only a reading that begins after number `after` can tell that its memory is free. `cut`: it is
    held to nothing; `gone`: no process of its call is left. `before` is its use in the reading
    before the last. `changing`: its guard is just being told; `back`: to how much it is to be held
    again, as the guard may have taken another size after all. `stuck`: that it does not let go was
    said.
    """

    lease: Lease
    leaf: CgroupDir | None
    guard: GpuGuard | None = None
    ends: float | None = None
    grace: float = 0.0
    after: int = 0
    cut: bool = False
    over: bool = False
    gone: bool = False
    changing: bool = False
    back: int | None = None
    stuck: bool = False
    before: int | None = 0

    @property
    def charged(self) -> int | None:
        """Its use, as far as it is in the device's figure for sure: that is read a moment before.

        What grew in between is not in there yet.
        """
        if self.before is None or self.lease.used is None:
            return None
        return min(self.before, self.lease.used)

    @property
    def doubt(self) -> int:
        """The use that is not in `charged`, as it was seen once only."""
        return 0 if self.lease.used is None else max(0, self.lease.used - (self.charged or 0))

    @property
    def sure(self) -> int:
        """The use that leaves the least to be taken: one that is not known is all of it."""
        used, before = self.lease.used, self.before
        return self.lease.bytes if used is None or before is None else max(used, before)

    @property
    def ending(self) -> bool:
        """Whether it is over, or taken back."""
        return self.lease.state is LeaseState.EXPIRING


@dataclass(slots=True)
class Asking:
    """Who waits: for a lease, or (`held`) for more of it."""

    ask: Ask
    lease: Lease
    leaf: CgroupDir | None
    answer: asyncio.Future[Lease]
    held: Held | None = None
    shrunk: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What reading `number` told; `uses` of calls by device, where None is an unknown use."""

    readings: tuple[GpuReading, ...] = ()
    uses: Mapping[tuple[CallId, str], int | None] = field(default_factory=dict)
    at: float = float("-inf")
    number: int = 0


@dataclass(slots=True)
class Book:
    """All leases."""

    held: dict[LeaseId, Held] = field(default_factory=dict)
    asking: dict[LeaseId, Asking] = field(default_factory=dict)
    late: OrderedDict[LeaseId, Lease] = field(default_factory=OrderedDict)
    seen: Seen = field(default_factory=Seen)
    reads: int = 0  # begun

    def claims(self, gpu: str, *, sure: bool = False) -> tuple[Claim, ...]:
        """What the leases on a device may use; `sure`: what they may beyond doubt.

        What is granted counts with any doubt; what is taken from the engine only with none.
        """
        return tuple(
            Claim(
                one.lease.id,
                one.lease.bytes,
                one.sure if sure else one.charged,
                one.lease.priority,
                preemptible=one.lease.wish.preemptible,
                ending=one.ending,
                until=one.ends,
                doubt=0 if sure else one.doubt,
            )
            for one in self.held.values()
            if one.lease.gpu == gpu
        )

    def devices_of(self, call: CallId) -> frozenset[str]:
        """Where a call has a lease: one a device, for nobody could tell the uses of two apart."""
        return frozenset(
            one.lease.gpu
            for one in self.held.values()
            if one.lease.call == call and one.lease.gpu is not None
        )

    def leases(self) -> tuple[Lease, ...]:
        """Those that hold memory, then those that wait."""
        waiting = [one.lease for one in self.asking.values() if one.held is None]
        return (*(one.lease for one in self.held.values()), *waiting)

    def withdraw(self, asking: Asking) -> None:
        """It waits no more; another for the same lease may by now."""
        if self.asking.get(asking.ask.lease) is asking:
            del self.asking[asking.ask.lease]

    def find(self, lease_id: LeaseId) -> Lease:
        """A lease that is open, or was of late."""
        held, asking = self.held.get(lease_id), self.asking.get(lease_id)
        found = held.lease if held else asking.lease if asking else self.late.get(lease_id)
        if found is None:
            raise NotFoundError(
                f"lease {lease_id[:80]!a}: there is none; `agentcg gpu` lists the open ones"
            )
        return found

    def close(self, lease: Lease) -> None:
        """It is over, or was denied: remember it for a while."""
        self.late[lease.id] = lease
        while len(self.late) > _LATE:
            self.late.popitem(last=False)
