"""Closed calls by the class of their command: quantiles, and intent versus real."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from agentcg.model.outcome import Cause
from agentcg.model.trace import Account, KindStats, Spread

_BY_ITSELF = frozenset({Cause.EXITED, Cause.UNKNOWN})


def by_kind(accounts: Iterable[Account]) -> list[KindStats]:
    """One entry a class, the most frequent first."""
    groups: defaultdict[str, list[Account]] = defaultdict(list)
    for one in accounts:
        if one.cause is not Cause.NEVER_STARTED:
            groups[one.kind].append(one)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_stats(kind, calls) for kind, calls in ranked]


def _stats(kind: str, calls: Sequence[Account]) -> KindStats:
    asked = [(one.peak, one.asked_limit) for one in calls if one.asked_limit]
    return KindStats(
        kind,
        len(calls),
        failed=sum(one.cause not in _BY_ITSELF for one in calls),
        oom=sum(one.cause is Cause.OOM for one in calls),
        asked=len(asked),
        peak=spread(one.peak for one in calls),
        wall=spread(one.wall for one in calls),
        cpu=spread(one.cpu for one in calls),
        used_of_limit=spread(
            None if peak is None else peak / limit for peak, limit in asked if limit
        ),
    )


def spread(values: Iterable[float | None]) -> Spread:
    """Quantiles of what is known: each is a value that occurred, so that of few none is made up."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return Spread(0)
    p50, p90, p99 = (_rank(known, percent) for percent in (50, 90, 99))
    return Spread(len(known), p50, p90, p99, known[-1])


def _rank(known: Sequence[float], percent: int) -> float:
    # Nearest rank: the smallest value that so many percent do not exceed.
    return known[max(0, -(-len(known) * percent // 100) - 1)]
