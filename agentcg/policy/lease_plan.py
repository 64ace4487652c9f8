"""What to do for one who asks for memory of one GPU: the cheapest source of bytes that suffices.

Free memory; KV cache that the engine may map and has not; KV of programs whose tool runs on; leases
of lower priority that may be taken back; all of the KV cache, seldom; else to wait, or a no. What
costs somebody something is done for the least that the asker can use, not for all of its wish.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentcg.model.gpu import LeaseId, ProgramId, Shrink
from agentcg.policy import lease_words as words
from agentcg.policy.ledger import Allowance, Claim, Ledger


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants memory since when. `held` is what it has of it already, on `gpu`.

    `until`: how long it waits for others; `patience`: while memory is being made free for it.
    """

    lease: LeaseId
    memory: int
    least: int
    priority: int
    since: float
    until: float
    patience: float
    gpu: str | None = None
    held: int = 0
    besides: frozenset[str] = frozenset()  # devices that it is not to have


@dataclass(frozen=True, slots=True)
class Idle:
    """A program that is in a tool call for longer than its KV is worth keeping."""

    program: ProgramId
    kv_bytes: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Give it so many bytes, what it holds included."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Make:
    """Have the engine keep to `limit`; `disrupts`: it takes what its requests use.

    `evict`: the programs of which the KV goes, where the engine can be told of which.
    """

    limit: int
    evict: tuple[ProgramId, ...] = ()
    disrupts: bool = False


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take leases back."""

    leases: tuple[LeaseId, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """There is no room now. `making`: some is on its way already."""

    reason: str
    eta: float | None = None
    making: bool = False


@dataclass(frozen=True, slots=True)
class Deny:
    """There can be none, or it waited as long as it wished."""

    reason: str


Step = Grant | Make | Revoke | Wait | Deny


def decide(ask: Ask, ledger: Ledger, idle: Sequence[Idle], now: float) -> Step:
    """The next step towards what is asked; `idle`: the smallest context first."""
    quantum = ledger.rules.quantum
    want = -(-ask.memory // quantum) * quantum - ask.held
    least = min(want, -(-ask.least // quantum) * quantum - ask.held)
    if ledger.closed:  # first: what the engine could give is not known then
        return Wait(ledger.closed, making=ledger.busy)
    if least > ledger.most - ask.held:
        return Deny(words.never(ask.least, max(0, ledger.most), ledger.total))
    if want <= ledger.room:
        return Grant(ask.held + want)
    reach = _reach(ledger, idle)
    if least <= reach:
        # In part, rather than wait: of whole quanta, as all that it was promised.
        want = min(want, (ask.held + reach) // quantum * quantum - ask.held)
    if least <= want <= reach:
        return Grant(ask.held + want) if want <= ledger.room else _gentle(ledger, idle, want)
    return _costly(ask, ledger, idle, least - reach, now)


def _engine(ledger: Ledger) -> Allowance | None:
    """The engine, if it can be asked for bytes."""
    one = ledger.engine
    return one if one is not None and one.shrink is Shrink.BYTES and not one.refused else None


def _lowest(ledger: Ledger, engine: Allowance, freed: int) -> int:
    """To what it can be limited without harm, once so much of its use has gone."""
    used = max(0, engine.used - freed)
    return min(engine.told, max(ledger.floor, int(used / ledger.rules.high) + 1 if used else 0))


def _reach(ledger: Ledger, idle: Sequence[Idle]) -> int:
    """How much room there will be when all was taken that costs nobody anything."""
    engine = _engine(ledger)
    if engine is None:
        coming = 0 if ledger.engine is None else ledger.engine.coming
        return ledger.room + coming
    lowest = _lowest(ledger, engine, sum(one.kv_bytes for one in idle))
    return ledger.room + max(engine.limit, engine.used) - lowest


def _gentle(ledger: Ledger, idle: Sequence[Idle], want: int) -> Step:
    engine = ledger.engine
    if engine is None:
        raise AssertionError("what is within reach and not free is the engine's")
    target = ledger.room + max(engine.limit, engine.used) - want
    if target >= engine.told:
        return Wait(words.MAKING, making=True)
    dropped: list[Idle] = []
    for one in idle:
        if target >= _lowest(ledger, engine, sum(d.kv_bytes for d in dropped)):
            break
        dropped.append(one)
    return Make(target, tuple(one.program for one in dropped))


def _costly(ask: Ask, ledger: Ledger, idle: Sequence[Idle], short: int, now: float) -> Step:
    """`short`: how much is missing still when all was taken that costs nobody anything."""
    short -= sum(claim.doubt for claim in ledger.claims)
    if short <= 0:
        return Wait(words.UNSURE, making=True)
    short -= sum(claim.most for claim in ledger.claims if claim.ending)
    if short <= 0:
        return Wait(words.ENDING, making=True)
    taken: list[Claim] = []
    for claim in sorted(ledger.claims, key=lambda c: (c.priority, -c.most)):
        if short > sum(c.most for c in taken) and _may_go(claim, ask.priority):
            taken.append(claim)
    if taken and short <= sum(c.most for c in taken):
        return Revoke(tuple(c.lease for c in taken))
    whole = _whole(ask, ledger, idle, short, now)
    why = words.FULL if ledger.engine is None else ledger.engine.refused or words.FULL
    return whole if whole is not None else Wait(why, _eta(ledger, short, now))


def _may_go(claim: Claim, priority: int) -> bool:
    return claim.preemptible and not claim.ending and claim.priority < priority


def _whole(
    ask: Ask, ledger: Ledger, idle: Sequence[Idle], short: int, now: float
) -> Make | Wait | None:
    """Cut into what the engine uses, where that suffices and may be."""
    engine, rules = ledger.engine, ledger.rules
    if engine is None or engine.refused or engine.shrink is Shrink.NONE:
        return None
    easy = engine.told
    if engine.shrink is Shrink.BYTES:
        easy = _lowest(ledger, engine, sum(one.kv_bytes for one in idle))
    if short > easy - ledger.floor:
        return None
    if engine.running and ask.priority <= rules.engine_priority:
        return None
    last = engine.disrupted_at
    if last is not None and (rest := last + rules.disrupt_every - now) > 0:
        return Wait(words.RATE, rest)
    return Make(0 if engine.shrink is Shrink.ALL_KV else easy - short, disrupts=True)


def _eta(ledger: Ledger, short: int, now: float) -> float | None:
    """When leases that end by themselves will have made room; None if they do not."""
    ends = sorted((c.until, c.most) for c in ledger.claims if c.until is not None and not c.ending)
    for until, most in ends:
        short -= most
        if short <= 0:
            return max(0.0, until - now)
    return None
