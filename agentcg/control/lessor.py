"""The loop behind leases: each turn reads, decides (agentcg/policy) and carries it out."""

import asyncio
import contextlib
import logging
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from agentcg.control import lease_seen
from agentcg.control.bounded import Bounded
from agentcg.control.lease_book import Book, Held
from agentcg.control.lease_engine import EngineDesk
from agentcg.control.lease_programs import Programs
from agentcg.control.tenures import Tenures
from agentcg.errors import AgentcgError
from agentcg.model.gpu import EngineLimit, GpuNews, LeaseState
from agentcg.policy import lease_queue
from agentcg.policy import lease_words as words
from agentcg.policy.lease_plan import Deny, Grant, Make, Revoke, Wait
from agentcg.policy.lease_queue import Planned
from agentcg.policy.ledger import Ledger

if TYPE_CHECKING:
    from agentcg.control.leasing import Parts

log = logging.getLogger(__name__)

_POLL = 0.2
_READING = 5.0  # seconds for the driver to answer


class Lessor:
    """Grants, ends and takes back leases, and tells the engine what to keep to."""

    def __init__(self, parts: "Parts", book: Book, tenures: Tenures, programs: Programs) -> None:
        self._parts = parts
        self._book = book
        self._tenures = tenures
        self._programs = programs
        self._device = Bounded("the GPU's driver")
        self._wake = asyncio.Event()
        self._silent = "it was not read yet"
        self._asked_at = float("-inf")
        self._engine_gpu: str | None = None
        self.desk: EngineDesk | None = None
        if parts.engine is not None:
            self.desk = EngineDesk(
                parts.engine, parts.journal, parts.rules, parts.clock, self._engine_said
            )

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    @property
    def busy(self) -> bool:
        """Whether a turn is due again soon."""
        desk = self.desk
        # To an engine of which the device is not known nothing can be given back by waiting.
        lost = bool(self._book.seen.readings) and self._engine_gpu is None
        owing = desk is not None and (desk.busy or (desk.owed and not lost))
        return bool(self._book.held or self._book.asking or owing)

    async def forever(self) -> None:
        """One turn after another as long as anything is to be done, until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self.turn()
            except Exception:
                log.exception("GPU leases: a turn failed; the daemon goes on")
                await asyncio.sleep(_POLL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL if self.busy else None):
                    await self._wake.wait()

    async def turn(self) -> None:
        """Read, end what is over, serve who waits, and settle with the engine."""
        await self.look()
        self._missed()
        clock = self._parts.clock()
        for held in list(self._book.held.values()):
            if not self._silent:
                self._observe(held)
            if held.ends is not None and clock >= held.ends:
                self._tenures.end(held, words.EXPIRED, grace=self._parts.rules.grace)
            if held.ending:
                await self._tenures.wind_up(held, self._book.seen.number)
            elif held.back is not None:
                await self._tenures.put_back(held)
        planned = self._plan()
        # Who only waits for other leases to end does not need what the engine could have.
        needed = {one.gpu for one in planned if not _waits_only(one)}
        if needed:
            self._asked_at = self._parts.clock()
        for one in planned:
            await self._carry_out(one)
        self._settle(needed)

    async def look(self) -> None:
        """Read the devices and the engine; why they cannot be read is kept."""
        self._book.reads += 1
        parts, number = self._parts, self._book.reads
        if self.desk is not None:
            await self.desk.look()
        read = partial(lease_seen.look, parts.device, parts.whose, parts.clock(), number)
        try:
            self._book.seen = await self._device.do(read, _READING)
            self._silent = ""
        except AgentcgError as e:
            self._silent = e.message
        if self.desk is not None:
            await self.desk.look_again()
            self._engine_gpu = lease_seen.place(
                self.desk.stats, self._book.seen, self._engine_gpu, parts.engine_gpu
            )

    def _missed(self) -> None:
        """End what is left of calls that closed while they asked, when there was nothing to end."""
        leaf = self._parts.leaf
        for held in list(self._book.held.values()):
            if held.leaf is not None and leaf(held.lease.call) is None:
                # What it may have left running gets the grace that any lease has.
                self._tenures.end(held, words.CALL_OVER, grace=self._parts.rules.grace)
        for asking in list(self._book.asking.values()):
            if asking.leaf is not None and leaf(asking.lease.call) is None:
                self._tenures.deny(asking, words.CALL_OVER)

    def _observe(self, held: Held) -> None:
        """Take in what it uses."""
        lease, seen = held.lease, self._book.seen
        reading = next((one for one in seen.readings if one.uuid == lease.gpu), None)
        if reading is None:
            if held.gone:  # nor is its device there to tell of its memory
                held.lease = replace(lease, used=0)
            return
        nothing = 0 if reading.attributed or held.gone else None
        used = seen.uses.get((lease.call, reading.uuid), nothing)
        held.before = lease.used
        state = lease.state
        if state is LeaseState.GRANTED and used != 0:
            state = LeaseState.ACTIVE
        held.lease = replace(lease, used=used, state=state)
        over = used is not None and used > lease.bytes
        if over and not held.over and not held.ending:
            self._parts.tell(GpuNews.OVER, held.lease, words.over(held.lease), {})
        held.over = over

    def _plan(self) -> list[Planned]:
        asks = [one.ask for one in self._book.asking.values()]
        if not asks:
            return []
        clock = self._parts.clock()
        if self._silent:
            return lease_queue.stall(asks, f"{words.SILENT_DEVICE} ({self._silent})", clock)
        caps = None if self.desk is None else self.desk.caps
        # Where the engine cannot drop one program's KV, less for it would be anybody's.
        drops = caps is not None and caps.evict
        idle = self._programs.idle(self._parts.rules.prefill) if drops else ()
        return lease_queue.plan(asks, self._ledgers(), idle, clock, self._parts.rules)

    def _ledgers(self) -> dict[str, Ledger]:
        return {one.uuid: self._ledger(one.uuid) for one in self._book.seen.readings}

    def _ledger(self, gpu: str) -> Ledger:
        reading = next(one for one in self._book.seen.readings if one.uuid == gpu)
        claims, rules = self._book.claims(gpu), self._parts.rules
        ledger = Ledger(gpu, reading.total, reading.free, rules, claims)
        desk = self.desk
        if desk is None or self._engine_gpu not in (gpu, None):
            return ledger
        allowance = desk.allowance()
        if allowance is not None:
            if self._engine_gpu is None:
                allowance = replace(allowance, refused=words.UNPLACED)
            return replace(ledger, engine=allowance)
        closed = words.MAKING if desk.asked else words.silent_engine(desk.silent)
        return replace(ledger, closed=closed, busy=desk.asked)

    async def _carry_out(self, planned: Planned) -> None:
        asking = self._book.asking.get(planned.ask.lease)
        if asking is None or asking.ask is not planned.ask:
            return  # it was withdrawn meanwhile
        match planned.step:
            case Grant(size):
                revision = 0 if self.desk is None else self.desk.revision
                await self._tenures.grant(asking, planned.gpu or "", size, revision)
            case Make(limit, evict, disrupts):
                if self.desk is not None:
                    self.desk.demand(limit, evict, disrupts=disrupts)
                    self._programs.dropped(evict)
                asking.shrunk = True
                self._tenures.waits(asking, LeaseState.SHRINKING, words.MAKING, None)
            case Revoke(leases):
                for held in [self._book.held[one] for one in leases if one in self._book.held]:
                    self._tenures.end(held, words.PREEMPTED, grace=self._parts.rules.grace)
                self._tenures.waits(
                    asking, LeaseState.QUEUED, words.ENDING, self._parts.rules.grace
                )
            case Wait(reason, eta):
                shrinking = asking.shrunk and reason == words.MAKING
                state = LeaseState.SHRINKING if shrinking else LeaseState.QUEUED
                self._tenures.waits(asking, state, reason, eta)
            case Deny(reason):
                self._tenures.deny(asking, reason)

    def _settle(self, needed: Collection[str | None]) -> None:
        """Give the engine what nobody waits for, and keep it to what it was told."""
        desk, gpu = self.desk, self._engine_gpu
        if desk is None or gpu is None or self._silent:
            return
        if all(one.uuid != gpu for one in self._book.seen.readings):
            return
        ledger = self._ledger(gpu)
        waiting = any(one.ask.gpu in (None, gpu) for one in self._book.asking.values())
        sure = replace(ledger, claims=self._book.claims(gpu, sure=True))
        if waiting or sure.room < 0:
            desk.nudge()
        limit = lease_queue.protect(sure)
        if limit is None and gpu not in needed and None not in needed:
            rested = self._parts.clock() - self._asked_at >= self._parts.rules.rest
            limit = lease_queue.give_back(ledger, rested=rested)
        if limit is not None and not desk.busy:
            desk.demand(limit)

    def _engine_said(self, why: str, limit: EngineLimit) -> None:
        text = words.engine(limit, why)
        self._parts.tell(GpuNews.ENGINE, None, text, {"limit": limit.limit, "was": limit.was})
        self.wake()


def _waits_only(planned: Planned) -> bool:
    """For what nobody is asked for: the engine's memory is not kept for it meanwhile."""
    return isinstance(planned.step, Deny | Wait) and not getattr(planned.step, "making", False)
