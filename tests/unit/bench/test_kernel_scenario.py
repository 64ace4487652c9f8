"""The runs of `make bench-kernel`: tight at the right time, the same for every arm."""

import itertools

import pytest

from tests.bench.kernel import scenario
from tests.bench.kernel.__main__ import turns
from tests.bench.kernel.replay import ARMS
from tests.bench.kernel.scenario import Point, Trace

POOL = 640
TRACES = scenario.load(scenario.TRACES)


@pytest.fixture(params=range(0, 20, 3))
def drawn(request: pytest.FixtureRequest) -> scenario.Scenario:
    return scenario.draw(request.param, TRACES, POOL)


def test_there_are_three_low_ones_and_several_high_ones() -> None:
    names = [trace.name.partition("-")[0] for trace in TRACES]
    assert names.count("low") == 3
    assert names.count("high") == 3
    assert all(28 < trace.seconds < 32 for trace in TRACES)


def test_all_together_want_more_than_the_pool_has(drawn: scenario.Scenario) -> None:
    demand = max(sum(t.wants(at / 10) for t in drawn.tenants) for at in range(400))
    assert demand == pytest.approx(scenario.DEMAND * POOL, rel=0.01)
    assert all(tenant.peak < POOL for tenant in drawn.tenants)


def test_the_high_one_peaks_while_the_low_ones_are_at_their_height(
    drawn: scenario.Scenario,
) -> None:
    low = [sum(t.wants(at / 10) for t in drawn.low) for at in range(400)]
    peaks = [at for at in range(400) if drawn.high.wants(at / 10) == drawn.high.peak]
    assert min(low[at] for at in peaks) >= 0.8 * max(low)


@pytest.mark.parametrize("seed", range(20))
def test_enough_of_its_batches_meet_a_full_pool(seed: int) -> None:
    """By what all want, until the pool ends; the bench then measures it, and asks for a fifth."""
    drawn = scenario.draw(seed, TRACES, POOL)
    held: list[int] = []  # by all, at each MiB that the high one grows
    points = drawn.high.trace.points
    for before, now in itertools.pairwise(points):
        at = drawn.high.start + now.second + 0.2  # not on the edge of a point
        others = sum(tenant.wants(at) for tenant in drawn.low)
        grown = range(drawn.high.wants(at - now.second + before.second), drawn.high.wants(at))
        held += [others + mib for mib in grown]
    until = next(number for number, mib in enumerate(held) if mib >= POOL)
    assert sum(mib > 0.9 * POOL for mib in held[:until]) >= 0.23 * until


def test_a_seed_says_it_all() -> None:
    assert scenario.draw(4, TRACES, POOL) == scenario.draw(4, TRACES, POOL)
    assert scenario.draw(4, TRACES, POOL) != scenario.draw(5, TRACES, POOL)


def test_a_schedule_ends_when_its_trace_does() -> None:
    trace = Trace("low-x", [Point(0, 100, 50), Point(2.5, 1048.576, 400)])
    tenant = scenario.Tenant(trace, start=3, memory=0.1, speed=2)
    assert tenant.schedule == "0 10 8\n1250 100 60\n1750 0 0\n"
    assert [tenant.wants(at) for at in (2.9, 3.0, 4.5, 4.8)] == [0, 10, 100, 0]


def test_traces_that_cannot_meet_are_refused() -> None:
    spike = [Point(0, 1, 0), Point(10, 100, 0), Point(10.1, 1, 0)]
    high = Trace("high-x", [Point(0, 1, 0), Point(60, 100, 0)])
    with pytest.raises(ValueError, match="high-x"):
        scenario.draw(0, [high, Trace("low-x", spike)], POOL)


def test_every_seed_has_every_arm_in_an_order_of_its_own() -> None:
    found = list(turns(5))
    assert len(set(found)) == len(found) == 5 * len(ARMS)
    orders = {tuple(arm for seed, arm in found if seed == wanted) for wanted in range(5)}
    assert len(orders) > 1
    assert found == list(turns(5))
