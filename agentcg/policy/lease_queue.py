"""All that wait for GPU memory: who comes first, on which device, and who must not be passed.

The higher priority first, the older first; waiting is worth up to ten of priority, which it is
after `starved` seconds. A smaller one may pass one that waits, but for a while from then on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agentcg.model.gpu import Shrink
from agentcg.policy import lease_words as words
from agentcg.policy.lease_plan import Ask, Deny, Grant, Idle, Make, Revoke, Step, Wait, decide
from agentcg.policy.ledger import Claim, Ledger, Rules

_AGING = 10.0


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be done for one; `gpu` is None where no device is meant."""

    ask: Ask
    step: Step
    gpu: str | None = None


def plan(
    asks: Sequence[Ask],
    ledgers: Mapping[str, Ledger],
    idle: Sequence[Idle],
    now: float,
    rules: Rules,
) -> list[Planned]:
    """A step for each. All can be carried out: each counts with those before it."""
    left = dict(ledgers)
    shut: set[str] = set()
    making: set[str] = set()
    found: list[Planned] = []
    for ask in sorted(asks, key=lambda one: (-_rank(one, now, rules), one.since)):
        wanted = _devices(ask, left)
        mine = [left[gpu] for gpu in wanted if gpu not in shut | making]
        best = _best(ask, mine, idle, now) or _nowhere(ask, wanted, making)
        if isinstance(best.step, Wait):
            if rules.starved <= now - ask.since < rules.starved + rules.shut:
                shut |= set(wanted)
            best = _patience(best, now)
        if best.gpu is not None:
            left[best.gpu] = _after(left[best.gpu], best)
            if isinstance(best.step, Make | Revoke):
                making.add(best.gpu)  # what comes of it is to be seen first
        found.append(best)
    return found


def stall(asks: Sequence[Ask], reason: str, now: float) -> list[Planned]:
    """The same where nothing can be read: all wait, as long as they would."""
    return [_patience(Planned(ask, Wait(reason)), now) for ask in asks]


def give_back(ledger: Ledger, *, rested: bool) -> int | None:
    """A higher limit for the engine, of memory that is seen free; None to leave it.

    `rested`: nobody asked for a while, or it was owed by a daemon before this one.
    """
    engine = ledger.engine
    if engine is None or engine.refused or ledger.closed or engine.told >= engine.was:
        return None
    if not rested and engine.used < ledger.rules.low * engine.limit:
        return None
    top = min(engine.was, max(engine.limit, engine.used) + ledger.room)
    if top < engine.was:
        if engine.shrink is Shrink.ALL_KV:
            return None
        quantum = ledger.rules.quantum
        top = engine.told + (top - engine.told) // quantum * quantum
    return top if top > engine.told else None


def protect(ledger: Ledger) -> int | None:
    """A lower limit, of KV that is not mapped, where more is promised than there is."""
    engine = ledger.engine
    if engine is None or engine.refused or ledger.closed or not ledger.claims:
        return None
    short = -(ledger.room + engine.coming)
    if short <= 0 or engine.shrink is not Shrink.BYTES:
        return None
    limit = max(ledger.floor, min(engine.used, engine.told), engine.told - short)
    return limit if limit < engine.told else None


def _rank(ask: Ask, now: float, rules: Rules) -> float:
    return ask.priority + _AGING * min(1.0, max(0.0, now - ask.since) / rules.starved)


def _devices(ask: Ask, ledgers: Mapping[str, Ledger]) -> list[str]:
    if ask.gpu is not None:
        return [ask.gpu] if ask.gpu in ledgers else []
    return [gpu for gpu in ledgers if gpu not in ask.besides]


def _best(ask: Ask, ledgers: Sequence[Ledger], idle: Sequence[Idle], now: float) -> Planned | None:
    """The gentlest step on any of the devices; among equals the one with the most room."""
    steps = [(decide(ask, one, idle if one.engine else (), now), one) for one in ledgers]
    ranked = sorted(steps, key=lambda pair: (_cost(pair[0]), -pair[1].room))
    return Planned(ask, ranked[0][0], ranked[0][1].gpu) if ranked else None


def _cost(step: Step) -> tuple[int, float]:
    match step:
        case Grant():
            return 0, 0.0
        case Wait(making=True):
            return 1, 0.0
        case Make(disrupts=disrupts):
            return (4, 0.0) if disrupts else (2, 0.0)
        case Revoke():
            return 3, 0.0
        case Wait(eta=eta):
            return 5, float("inf") if eta is None else eta
        case Deny():
            return 6, 0.0


def _nowhere(ask: Ask, wanted: Sequence[str], making: set[str]) -> Planned:
    if wanted:
        return Planned(ask, Wait(words.BEHIND, making=not making.isdisjoint(wanted)))
    return Planned(ask, Deny(words.no_gpu(ask.gpu)))


def _patience(planned: Planned, now: float) -> Planned:
    """Turn away who has waited long enough."""
    ask, step = planned.ask, planned.step
    if isinstance(step, Wait) and now >= (ask.patience if step.making else ask.until):
        return replace(planned, step=Deny(step.reason))
    return planned


def _after(ledger: Ledger, planned: Planned) -> Ledger:
    """The ledger once the step is taken; what is being made for one is not another's."""
    ask = planned.ask
    match planned.step:
        case Grant(size):
            size -= ask.held
        case Make() | Revoke() | Wait(making=True):
            size = ask.memory - ask.held
        case _:
            return ledger
    claim = Claim(ask.lease, size, used=0, priority=ask.priority)
    return replace(ledger, claims=(*ledger.claims, claim))
