"""When what happened to a call, and at which moments it was pressed."""

import itertools
from collections.abc import Iterable, Sequence

from agentcg.model.call import Call
from agentcg.model.event import Event, Kind
from agentcg.model.explanation import Step
from agentcg.model.outcome import Cause
from agentcg.model.sample import Sample

MOMENTS = 4
_STEPS = 200
_APART = 5.0  # seconds: closer ones are one moment
_WAITED = 0.1  # of the time between two readings: less is no pressure

# Why an event is a moment of pressure; those first that say most.
_WHY = {
    Kind.CALL_OOM: "the OOM killer took processes of it",
    Kind.POOL_FULL: "the pool had no room for it",
    Kind.CALL_STALLED: "it hardly went on at its limit",
    Kind.CALL_THROTTLED: "its memory growth was held up",
    Kind.PRESSURE: "tasks beside it waited for memory",
}
_PRESSED = frozenset({Cause.OOM, Cause.STALL, Cause.PRESSURE})
_ENDED = "it was killed for want of memory"
_WAITING = "it waited for memory more than at any other time"
_ORDER = [_ENDED, *_WHY.values(), _WAITING]

Moment = tuple[float, str]


def steps(call: Call, events: Iterable[Event]) -> tuple[tuple[Step, ...], int]:
    """Its own events, those of one kind in a row as one; without any, what its record has.

    And how many between the first and the last are left out.
    """
    found: list[Step] = []
    for event in events:
        if found and (found[-1].kind, found[-1].text) == (event.kind, event.text):
            last = found[-1]
            found[-1] = Step(last.at, last.since, last.kind, last.text, last.times + 1)
        else:
            found.append(Step(event.at, since(call, event.at), event.kind, event.text))
    told = {step.kind for step in found}
    known = (
        (Kind.CALL_DECLARED, call.declared_at),
        (Kind.CALL_STARTED, call.started_at),
        (Kind.CALL_ENDED, call.ended_at),
        (Kind.CALL_CLOSED, call.closed_at),
    )
    found += [
        Step(at, since(call, at), kind, "")
        for kind, at in known
        if at is not None and kind not in told
    ]
    found.sort(key=lambda step: step.at)
    # How it began and how it ended tell more than what was between.
    half, beyond = _STEPS // 2, max(0, len(found) - _STEPS)
    return tuple([*found[:half], *found[-half:]] if beyond else found), beyond


def since(call: Call, at: float) -> float:
    """Seconds after its declaration; a clock that was put back makes none negative."""
    return max(0.0, at - call.declared_at)


def moments(call: Call, events: Iterable[Event], samples: Sequence[Sample]) -> list[Moment]:
    """The moments at which it was pressed, a few; in order of time."""
    found = [(event.at, _WHY[event.kind]) for event in events if event.kind in _WHY]
    if call.outcome is not None and call.outcome.cause in _PRESSED and call.ended_at is not None:
        found.append((call.ended_at, _ENDED))
    if (worst := _worst(samples)) is not None:
        found.append((worst, _WAITING))
    found.sort(key=lambda moment: (_ORDER.index(moment[1]), moment[0]))
    kept: list[Moment] = []
    for at, why in found:
        if len(kept) < MOMENTS and all(abs(at - other) >= _APART for other, _ in kept):
            kept.append((at, why))
    return sorted(kept)


def _worst(samples: Sequence[Sample]) -> float | None:
    """The end of the stretch in which it waited for memory for the greatest part of the time."""
    known = [
        (s.clock, s.at, s.usage.memory_some) for s in samples if s.usage.memory_some is not None
    ]
    shares = [
        ((now - before) / (clock - begun), at)
        for (begun, _, before), (clock, at, now) in itertools.pairwise(known)
        if clock > begun
    ]
    share, at = max(shares, default=(0.0, 0.0))
    return at if share >= _WAITED else None
