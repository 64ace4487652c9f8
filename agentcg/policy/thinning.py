"""Many samples as few: none of their peaks is lost, and no figure is told of another time."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from agentcg.model.sample import Sample


def thinned(taken: Sequence[Sample], points: int) -> list[Sample]:
    """At most `points` samples: one for each stretch of equal length, with its highest peak."""
    if len(taken) <= points:
        return list(taken)
    # By number, not by time: a stretch in which much happened has more of them.
    bounds = [len(taken) * n // points for n in range(points + 1)]
    return [_joined(taken[a:b]) for a, b in itertools.pairwise(bounds) if a < b]


def _joined(stretch: Sequence[Sample]) -> Sample:
    """The last full one, if there is one: rates follow from counters and the time of these."""
    peaks = [s.usage.peak for s in stretch if s.usage.peak is not None]
    stands = next((s for s in reversed(stretch) if s.full), stretch[-1])
    return replace(stands, usage=replace(stands.usage, peak=max(peaks, default=None)))
