"""The evidence about a call put together: limits against use, what was decided, what would be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agentcg import units
from agentcg.model.call import Call
from agentcg.model.event import Event, Kind
from agentcg.model.explanation import Bound, Explanation, Pressed
from agentcg.model.grant import GUARANTEE
from agentcg.model.outcome import Cause, Level
from agentcg.model.sample import Sample, Usage
from agentcg.policy import timeline
from agentcg.policy.learned import Learned

_SPARE = 1.2  # of the peak: what would have sufficed, with some to spare
_DECIDED = (
    *(Kind.CALL_CHANGED, Kind.CALL_FROZEN, Kind.CALL_THAWED),
    *(Kind.POOL_FULL, Kind.CALL_STALLED),
)
_MOST = 20  # decisions told


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found: its events and samples, the pool's size, what is learned of its class.

    `now` is for a call that runs; `unlearned` says why nothing is learned.
    """

    events: Sequence[Event]
    samples: Sequence[Sample]
    pressed: tuple[Pressed, ...] = ()
    pool: int | None = None
    learned: Learned | None = None
    gaps: tuple[str, ...] = ()
    now: float | None = None
    unlearned: str = "too little is known of its class"


def explanation(call: Call, found: Evidence) -> Explanation:
    """All that can be said of a call."""
    used = _used(call, found.samples)
    steps, beyond = timeline.steps(call, found.events)
    gaps = found.gaps
    if beyond:
        gaps += (f"{beyond} steps in the middle of its timeline are left out: there are too many",)
    return Explanation(
        call,
        steps,
        tuple(_bounds(call, used, _wall(call, found.now))),
        used,
        found.pool,
        found.pressed,
        tuple(_decided(call, found.events)),
        tuple(_advice(call, used, found)),
        gaps,
    )


def _wall(call: Call, now: float | None) -> float | None:
    """Seconds that it took; of one that runs, so far."""
    if call.outcome is not None:
        return call.outcome.wall
    if call.started_at is None or now is None:
        return None
    return max(0.0, now - call.started_at)


def _used(call: Call, samples: Iterable[Sample]) -> Usage:
    readings = [one.usage for one in samples]
    last = next((usage for usage in reversed(readings) if usage.cpu is not None), Usage())
    result = call.outcome
    peaks = [usage.peak for usage in readings]
    return Usage(
        memory=readings[-1].memory if readings else None,
        peak=_most([*peaks, None if result is None else result.peak]),
        cpu=last.cpu if result is None or result.cpu is None else result.cpu,
        throttled=last.throttled if result is None else result.throttled or last.throttled,
        pids=_most(usage.pids for usage in readings),
        reclaimed=last.reclaimed,
        read=last.read,
        written=last.written,
        memory_some=last.memory_some,
        memory_full=last.memory_full,
        cpu_some=last.cpu_some,
        io_some=last.io_some,
        max_hits=last.max_hits,
        oom_kills=last.oom_kills if result is None else result.oom_kills,
    )


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _bounds(call: Call, used: Usage, wall: float | None) -> Iterator[Bound]:
    intent, grant = call.intent, call.grant
    cpus = None if grant.cpus is None else len(grant.cpus)
    rate = used.cpu / wall if used.cpu is not None and wall else None
    wished = intent.cpu.cores
    for knob, granted, spent, asked in (
        ("memory.limit", grant.memory_limit, used.peak, intent.memory.limit),
        (GUARANTEE, grant.memory_guarantee, used.peak, intent.memory.guarantee),
        ("pids", grant.pids, used.pids, intent.pids),
        ("cpu.cores", cpus, rate, wished),
        ("cpu.weight", grant.cpu_weight, None, intent.cpu.weight),
        ("deadline", grant.deadline, wall, intent.deadline),
    ):
        yield Bound(
            knob,
            granted,
            spent,
            grant.source.get(knob, "default" if asked is None else "declared"),
            grant.enforced.get(knob, ""),
        )


def _decided(call: Call, events: Iterable[Event]) -> Iterator[str]:
    yield from call.grant.notes
    told = [event for event in events if event.kind in _DECIDED]
    for event in told[:_MOST]:
        since = units.format_duration(timeline.since(call, event.at))
        yield f"after {since}: {event.kind.value} {event.text}".rstrip()
    if len(told) > _MOST:
        yield f"and {len(told) - _MOST} more decisions"
    if call.outcome is not None and call.outcome.advice:
        yield call.outcome.advice


def _advice(call: Call, used: Usage, found: Evidence) -> Iterator[str]:
    """What policy would do with the same declaration now, and what would have sufficed."""
    asked, grant, result = call.intent.memory, call.grant, call.outcome
    if asked.guarantee is not None:
        yield (
            f"Declared again, it asks for its guarantee of {_size(asked.guarantee)} again: "
            f"what is declared goes before what is learned."
        )
    elif found.learned is not None:
        yield (
            f"Declared again without a guarantee, it would get up to {_size(found.learned.peak)} "
            f"({found.learned})."
        )
    else:
        yield f"Declared again, it would get no learned guarantee: {found.unlearned}."
    yield from _sufficed(call, used.peak)
    held = result.held if result is not None else None
    if used.peak is not None and (held or found.pressed) and grant.memory_guarantee < used.peak:
        yield (
            f"A guarantee of {_size(used.peak)} would have kept others from pressing it; it had "
            f"{_size(grant.memory_guarantee)}."
        )


def _sufficed(call: Call, peak: int | None) -> Iterator[str]:
    """What limit would have sufficed: known only of a call that came to a good end."""
    result, limit = call.outcome, call.grant.memory_limit
    unknown = "What limit would have sufficed is not known: it"
    hit = result is not None and result.cause in (Cause.OOM, Cause.STALL)
    if result is not None and hit and result.level in (Level.CALL, None):
        yield f"{unknown} wanted more than the {_size(result.limit or peak)} that it had."
    elif peak is None:
        return
    elif result is None or (result.cause is Cause.EXITED and result.exit_code == 0):
        had = "none" if limit is None else _size(limit)
        far = "" if result is not None else " so far"
        yield f"A limit of {_size(int(peak * _SPARE))} would have sufficed{far}; it had {had}."
    elif result.cause is Cause.EXITED:
        yield f"{unknown} failed at a peak of {_size(peak)}."
    else:
        yield f"{unknown} was stopped at a peak of {_size(peak)}."


def _size(value: int | None) -> str:
    return "an unknown size" if value is None else units.format_bytes(value)
