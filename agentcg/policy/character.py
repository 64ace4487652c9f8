"""From recorded samples and calls: where time goes, how memory moves, what is tried again.

A reading tells of the interval since the one before: what is used now, and the highest meanwhile.
Readings are not evenly spaced, so all means and shares are of time, not of readings. Intervals
longer than `GAP` are of nobody: then no daemon looked. Calls and readings are compared by the time
of day, intervals have the length that the clock says, which nobody puts. Where the time of day, by
which readings are asked for in parts, was put back there is none: parts may have holes there.
"""

import itertools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agentcg.model.character import ClassFigures, Fleet, TaskFigures
from agentcg.model.ids import SessionId
from agentcg.model.outcome import Cause
from agentcg.model.sample import Sample
from agentcg.model.trace import Account
from agentcg.policy.quantiles import spread

GAP = 90.0  # an idle session is read each few seconds
BURST = 300 << 20  # bytes; the height that is usual in the literature
FAST = 100 << 20  # bytes a second
RETRY = 3  # so many calls of one class in a row are a retry group

_Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Interval:
    """Between two readings; `end` is a time of day, `before` and `now` are of its ends."""

    end: float
    seconds: float
    before: int
    now: int
    high: int


def task(
    session: SessionId,
    samples: Sequence[Sample],
    calls: Iterable[Account],
    *,
    others: Iterable[_Span] = (),
    burst: int = BURST,
) -> TaskFigures:
    """The figures of one task; its samples in their order, its closed calls in any.

    `others` is when its other calls were open: those still open, or declared before that time.
    """
    ran = sorted(
        (one for one in calls if one.cause is not Cause.NEVER_STARTED and one.wall is not None),
        key=lambda one: (one.declared_at, one.call),
    )
    busy = _union(sorted([*map(open_time, ran), *others]))
    lasted = list(_intervals(samples))
    # Of memory nothing is known without its controller.
    found = list(_intervals([one for one in samples if one.usage.memory is not None]))
    measured = sum(one.seconds for one in found)
    rates = [(one.now - one.before) / one.seconds for one in found]
    groups = list(_retries(ran))
    return TaskFigures(
        session,
        sum(one.seconds for one in lasted),
        sum(_within(busy, one) for one in lasted),
        len(ran),
        measured=measured,
        mean=sum(one.before * one.seconds for one in found) / measured if found else None,
        peak=max(map(_high, samples), default=0) or None,
        bursts=tuple(_bursts(found, burst)),
        burst_in_calls=sum(_within(busy, one) for one in found if one.high > burst),
        rise=max([0.0, *rates]) if found else None,
        fall=max([0.0, *(-rate for rate in rates)]) if found else None,
        fast=sum(one.seconds for one, rate in zip(found, rates, strict=True) if abs(rate) > FAST),
        cpu=_cpu(samples),
        cpu_of_calls=sum(one.cpu or 0.0 for one in ran),
        retries=tuple(len(group) for group in groups),
        retried=sum(one.wall or 0.0 for group in groups for one in group),
    )


def open_time(call: Account) -> _Span:
    """When it was open."""
    return call.declared_at, call.declared_at + max(0.0, call.wall or 0.0)


def fleet(tasks: Sequence[TaskFigures], calls: Iterable[Account]) -> Fleet:
    """All of them together."""
    seconds = sum(one.seconds for one in tasks)
    bursts = [length for one in tasks for length in one.bursts]
    known = [one for one in tasks if one.cpu]
    classes = tuple(_classes(calls))
    return Fleet(
        tuple(tasks),
        classes,
        task_seconds=spread(one.seconds for one in tasks),
        in_calls=_share(sum(one.in_calls for one in tasks), seconds),
        mean=spread(one.mean for one in tasks),
        peak=spread(one.peak for one in tasks),
        peak_to_mean=spread(one.peak / one.mean for one in tasks if one.peak and one.mean),
        burst=spread(bursts),
        tasks_with_bursts=sum(bool(one.bursts) for one in tasks),
        burst_in_calls=_share(sum(one.burst_in_calls for one in tasks), sum(bursts)),
        rise=spread(one.rise for one in tasks),
        fall=spread(one.fall for one in tasks),
        fast=_share(sum(one.fast for one in tasks), sum(one.measured for one in tasks)),
        cpu_of_calls=_share(
            sum(one.cpu_of_calls for one in known), sum(one.cpu or 0.0 for one in known)
        ),
        tasks_with_retries=sum(bool(one.retries) for one in tasks),
        retry_group=spread(length for one in tasks for length in one.retries),
        retried=_share(sum(one.retried for one in tasks), sum(one.seconds for one in classes)),
    )


def _intervals(samples: Sequence[Sample]) -> Iterator[_Interval]:
    for a, b in itertools.pairwise(samples):
        seconds = b.clock - a.clock
        if 0 < seconds <= GAP and b.at >= a.at:
            yield _Interval(b.at, seconds, a.usage.memory or 0, b.usage.memory or 0, _high(b))


def _high(one: Sample) -> int:
    return max(one.usage.memory or 0, one.usage.peak or 0)


def _bursts(found: Iterable[_Interval], height: int) -> Iterator[float]:
    for above, stretch in itertools.groupby(found, key=lambda one: one.high > height):
        if above:
            yield sum(one.seconds for one in stretch)


def _union(spans: Iterable[_Span]) -> list[_Span]:
    """The same time in stretches that do not touch; of spans in the order of their begin."""
    joined: list[_Span] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def _within(busy: Sequence[_Span], one: _Interval) -> float:
    """How much of an interval a call was open."""
    begin, inside = one.end - one.seconds, 0.0
    for n in range(max(0, bisect_right(busy, (begin, 0.0)) - 1), len(busy)):
        since, until = busy[n]
        if since >= one.end:
            break
        inside += max(0.0, min(until, one.end) - max(since, begin))
    return min(inside, one.seconds)


def _cpu(samples: Iterable[Sample]) -> float | None:
    """CPU seconds from the first to the last full reading, over counters that began anew."""
    known = [(one, one.usage.cpu) for one in samples if one.usage.cpu is not None]
    if len(known) < 2:
        return None
    return sum(
        now - before if now >= before else now
        for (a, before), (b, now) in itertools.pairwise(known)
        if b.clock > a.clock and b.at >= a.at
    )


def _retries(ran: Iterable[Account]) -> Iterator[list[Account]]:
    for _, group in itertools.groupby(ran, key=lambda one: one.kind):
        if len(held := list(group)) >= RETRY:
            yield held


def _classes(calls: Iterable[Account]) -> Iterator[ClassFigures]:
    """Those that took most time first."""
    groups: defaultdict[str, list[Account]] = defaultdict(list)
    for one in calls:
        if one.cause is not Cause.NEVER_STARTED and one.wall is not None:
            groups[one.kind].append(one)
    times = {kind: sum(one.wall or 0.0 for one in group) for kind, group in groups.items()}
    whole = sum(times.values())
    for kind in sorted(groups, key=lambda name: (-times[name], name)):
        group = groups[kind]
        yield ClassFigures(
            kind,
            len(group),
            times[kind],
            _share(times[kind], whole) or 0.0,
            wall=spread(one.wall for one in group),
            peak=spread(one.peak for one in group),
        )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
