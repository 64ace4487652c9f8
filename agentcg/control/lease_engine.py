"""The engine as leases see it: what it may map, and demands that survive the daemon.

What the engine is told is journalled before it is told: less before a shrink, and more only once a
grow was applied. So whenever the daemon dies, the journal has at most what the engine may have been
told, and the next daemon gives back the rest, by a higher revision than any before.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from agentcg.control.bounded import Bounded
from agentcg.control.journal import Journal
from agentcg.errors import AgentcgError, UnavailableError
from agentcg.gpu.engine import Engine
from agentcg.model.gpu import (
    EngineCaps,
    EngineLimit,
    EngineStats,
    ProgramId,
    ShrinkResult,
    ShrinkStatus,
)
from agentcg.policy import lease_words as words
from agentcg.policy.ledger import Allowance, Rules

_READING = 2.0  # seconds for what only reads
_PROBING = 5.0
_RETRY = 5.0  # before one that refused is asked again
_NUDGE = 1.0  # before one that has not obeyed is told again
_NUDGED = 1.0  # seconds for it to obey then: meanwhile nothing is granted beside it
_MARGIN = 1.0
_GROWING = 1.0
_STALE = 3  # so often a higher revision is tried


async def give_back(
    engine: Engine, journal: Journal, told: EngineLimit, bounded: Bounded
) -> EngineLimit:
    """Let an engine have again what it had, once, where no loop sees to it.

    Raises:
        AgentcgError: it does not answer, or does not take it; the journal has that it is owed it.
    """
    revision = told.revision + 1
    if not journal.put_limit(EngineLimit(revision, told.was, told.limit)):
        raise UnavailableError("the journal cannot be written")
    grow = partial(engine.limit, told.was, revision=revision, timeout=_GROWING)
    result = await bounded.do(grow, _GROWING + _MARGIN)
    if result.status is not ShrinkStatus.APPLIED:
        why = result.reason or result.status.value
        raise UnavailableError(f"the inference engine did not take its memory back ({why})")
    given = EngineLimit(revision, told.was, told.was)
    journal.put_limit(given)
    return given


class EngineDesk:
    """One engine, asked one thing at a time. `told` is called when a demand was answered."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        rules: Rules,
        clock: Callable[[], float],
        told: Callable[[str, EngineLimit], None],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._rules = rules
        self._clock = clock
        self._told = told
        self._bounded = Bounded("the inference engine")
        self._demand: asyncio.Task[None] | None = None
        self._record: EngineLimit | None = None
        self._fresh = False
        self._grown: int | None = None  # a grow of which it is not known whether it was taken
        self._refused: tuple[float, str] = (0.0, "")
        self._asked_at = float("-inf")
        self._disrupted_at: float | None = None
        self._probed_at = float("-inf")
        self.caps: EngineCaps | None = None
        self.stats: EngineStats | None = None
        self.silent = "it was not read yet"

    def recall(self) -> None:
        """Take up what the daemon before this one told the engine.

        It may still be about to hear of a grow: until it answers, that counts as taken.
        """
        self._record = self._journal.limit()
        if self._record is not None and self.owed:
            self._grown = self._record.was

    @property
    def revision(self) -> int:
        """That of the last demand."""
        return 0 if self._record is None else self._record.revision

    @property
    def busy(self) -> bool:
        """A demand is on its way."""
        return self._demand is not None and not self._demand.done()

    @property
    def asked(self) -> bool:
        """It was asked, and not looked at since."""
        return self.busy or (not self._fresh and not self.silent)

    @property
    def owed(self) -> bool:
        """It has been told to keep to less than it had."""
        return self._record is not None and self._record.limit < self._record.was

    async def look(self) -> None:
        """Read what it uses; `silent` is why it cannot be read."""
        if self.busy:
            return
        self._fresh = False
        try:
            if self.caps is None and self._clock() - self._probed_at >= _RETRY:
                self._probed_at = self._clock()
                self.caps = await self._bounded.do(self._engine.probe, _PROBING)
            self.stats = await self._bounded.do(self._engine.stats, _READING)
            self.silent = "" if self.caps else "what it can do is not known yet"
            self._fresh = not self.silent
        except AgentcgError as e:
            self.silent = e.message

    async def look_again(self) -> None:
        """Read it once more, after the device, and keep what errs on the safe side.

        What it unmapped between the first reading and the device's is free there and may be mapped
        again.
        """
        before = self.stats
        if not self._fresh or before is None:
            return
        await self.look()
        if self.stats is not None:
            used = min(before.kv_used, self.stats.kv_used)
            limit = max(before.kv_limit, self.stats.kv_limit)
            self.stats = replace(self.stats, kv_used=used, kv_limit=limit)

    def allowance(self) -> Allowance | None:
        """What it may take by the last look; None where that does not tell."""
        stats, caps = self.stats, self.caps
        if not self._fresh or self.busy or stats is None or caps is None:
            return None
        limit = max(stats.kv_limit, self._grown or 0)
        record = self._record if self.owed else None
        until, why = self._refused
        return Allowance(
            limit,
            stats.kv_used,
            told=limit if record is None else min(limit, record.limit),
            was=limit if record is None else max(limit, record.was),
            shrink=caps.shrink,
            running=1 if stats.running is None else stats.running,  # not told: it may be at work
            refused=words.refused(why) if self._clock() < until else "",
            disrupted_at=self._disrupted_at,
        )

    def demand(
        self, limit: int, evict: Sequence[ProgramId] = (), *, disrupts: bool = False
    ) -> None:
        """Tell it to keep to `limit`, by and by."""
        known = self.allowance()
        if known is None:
            return
        if disrupts:
            self._disrupted_at = self._clock()
        self._begin(limit, known, evict, self._rules.timeout)

    def nudge(self) -> None:
        """Tell it the same again, if it has not obeyed for a while."""
        known = self.allowance()
        if known is None or not known.coming or known.refused:
            return
        if self._clock() - self._asked_at >= _NUDGE:
            self._begin(known.told, known, (), min(_NUDGED, self._rules.timeout))

    async def stop(self) -> None:
        """Wait for no demand any more: the journal has it."""
        if self._demand is not None:
            self._demand.cancel()
            await asyncio.wait([self._demand])

    async def give_back(self) -> None:
        """Let it have again all that it had, as nobody needs it now.

        Once, within twice the time of one demand: what fails is the next daemon's to do.
        """
        record = self._record
        if record is None or not self.owed:
            return
        try:
            self._record = await give_back(self._engine, self._journal, record, self._bounded)
        except AgentcgError as e:
            self._told(e.message, record)
        else:
            self._told("", self._record)

    def _begin(
        self, limit: int, known: Allowance, evict: Sequence[ProgramId], within: float
    ) -> None:
        self._demand = asyncio.get_running_loop().create_task(
            self._tell(limit, known, tuple(evict), within)
        )

    async def _tell(
        self, limit: int, known: Allowance, evict: Sequence[ProgramId], within: float
    ) -> None:
        try:
            if evict:
                limit = await self._evict(evict, limit, known)
            result = await self._once(limit, known, within)
            for _ in range(_STALE):
                if result.status is not ShrinkStatus.STALE:
                    break
                seen = max(self.revision, result.revision)
                self._record = EngineLimit(seen, known.was, min(limit, known.told))
                result = await self._once(limit, known, within)
            self._answered(known, replace(result, asked=limit))
        except AgentcgError as e:
            self._refuse(e.message)
        finally:
            self._fresh = False  # what was read before is out of date
            self._asked_at = self._clock()

    async def _evict(self, programs: Sequence[ProgramId], limit: int, known: Allowance) -> int:
        """Drop their KV; the limit that harms nobody by what is seen gone then.

        How much they have is what an agent said.
        """
        for program in programs:
            await self._bounded.do(partial(self._engine.evict, program), _READING)
        left = await self._bounded.do(self._engine.stats, _READING)
        return min(known.told, max(limit, int(left.kv_used / self._rules.high) + 1))

    async def _once(self, limit: int, known: Allowance, within: float) -> ShrinkResult:
        record = EngineLimit(self.revision + 1, known.was, min(limit, known.told))
        if not self._journal.put_limit(record):
            return ShrinkResult(
                ShrinkStatus.REJECTED, record.revision, limit, 0, "the journal cannot be written"
            )
        self._record = record
        if limit > known.told:
            self._grown = max(limit, self._grown or 0)
        return await self._bounded.do(
            lambda: self._engine.limit(limit, revision=record.revision, timeout=within),
            within + _MARGIN,
        )

    def _answered(self, known: Allowance, result: ShrinkResult) -> None:
        record = self._record
        if record is None or result.status not in (ShrinkStatus.APPLIED, ShrinkStatus.DEFERRED):
            # It keeps to what it kept to before, and has said so.
            self._note(known.told)
            self._refuse(result.reason or result.status.value)
            return
        self._grown = None
        if result.status is ShrinkStatus.APPLIED:
            self._note(result.asked)
        elif result.asked > known.told:
            self._grown = result.asked
            self._refused = (self._clock() + _NUDGE, "it has not taken back what it was given")
        self._told("", replace(record, limit=result.asked))

    def _note(self, limit: int) -> None:
        if self._record is not None:
            self._record = replace(self._record, limit=limit)
            self._journal.put_limit(self._record)

    def _refuse(self, why: str) -> None:
        again = why == self._refused[1]
        self._refused = (self._clock() + _RETRY, why)
        if self._record is not None and not again:
            self._told(why, self._record)
