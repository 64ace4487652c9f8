"""Many samples as few."""

from itertools import pairwise

import pytest

from agentcg.model.sample import Sample
from agentcg.policy.thinning import thinned
from tests.unit.telemetry.samples import sample


def test_many_samples_are_answered_by_few_with_the_highest_peak() -> None:
    series = [sample(n, peak=900 << 20 if n == 444 else 0) for n in range(1000)]
    few = thinned(series, 30)
    assert len(few) == 30
    assert max(s.usage.peak or 0 for s in few) == 900 << 20
    assert few[-1].clock == series[990].clock
    assert thinned(series, 1000) == series
    assert thinned([], 5) == []


def test_a_steady_rate_stays_steady() -> None:
    def rates(taken: list[Sample]) -> list[float]:
        known = [(s.clock, s.usage.cpu) for s in taken if s.usage.cpu is not None]
        return [(cpu - was) / (now - then) for (then, was), (now, cpu) in pairwise(known)]

    series = [sample(n) for n in range(1000)]  # a tenth of a CPU, told by each tenth sample
    for points in (7, 77, 300, 999):
        assert rates(thinned(series, points)) == pytest.approx(
            [0.1] * (len(rates(thinned(series, points))))
        )
