"""The CPU credit of work outside calls, and the memory that counts as the agent's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.policy.caps import caps, reserve
from agentcg.policy.undeclared import Credit, Settled, settle, spend

MIB = 2**20


def play(*readings: tuple[float, float], credit: Credit | None = None) -> list[int]:
    """The weight after each reading of (now, CPU seconds used)."""
    state, weights = credit or Credit(), []
    for now, cpu in readings:
        state = spend(state, cpu, now)
        weights.append(state.weight)
    return weights


def test_little_work_keeps_its_weight() -> None:
    assert play(*[(float(t), 0.09 * t) for t in range(20)]) == [100] * 20


def test_a_busy_agent_is_weighed_down_in_a_second_and_recovers_when_it_rests() -> None:
    # One second of a whole core overdraws the credit by as much as it can be: 4 s to full.
    assert play((0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 1.0), (5.0, 1.0)) == [
        100,
        10,
        10,
        10,
        10,
        100,
    ]


def test_an_overdraft_is_bounded_however_busy_it_was() -> None:
    assert play((0.0, 0.0), (60.0, 3600.0), (64.1, 3600.0)) == [100, 10, 100]


def test_the_weight_comes_back_at_a_full_credit_only() -> None:
    credit = Credit(left=0.0, cpu=0.0, at=0.0, weight=10)
    assert play((1.0, 0.0), (1.9, 0.0), (2.1, 0.0), credit=credit) == [10, 10, 100]


def test_what_was_used_before_the_first_reading_does_not_count() -> None:
    assert spend(Credit(), 1000.0, 5.0) == Credit(left=0.2, cpu=1000.0, at=5.0, weight=100)


def test_a_clock_that_is_set_back_charges_nothing() -> None:
    assert play((3600.0, 1.0), (0.0, 1.0), (1.0, 1.0)) == [100, 100, 100]


def test_a_counter_that_begins_anew_pays_nothing() -> None:
    credit = Credit(left=-0.2, cpu=500.0, at=0.0, weight=10)
    assert play((1.0, 0.0), credit=credit) == [10]


NUMBERS = st.floats(-1e9, 1e9)


@given(st.lists(st.tuples(NUMBERS, NUMBERS)))
def test_the_credit_stays_in_its_bounds_whatever_is_read(
    readings: list[tuple[float, float]],
) -> None:
    state = Credit()
    for now, cpu in readings:
        state = spend(state, cpu, now)
        assert -0.2 <= state.left <= 0.2
        assert state.weight in {10, 100}
        assert state.left > 0 or state.weight == 10


def test_an_agents_memory_counts_as_its_own_at_once_when_the_session_opens() -> None:
    assert settle(None, 300, 1000, 5.0) == Settled(300, 5.0)
    assert settle(Settled(10, 0.0), 300, None, 5.0) == Settled(300, 5.0)


def test_what_counts_as_its_own_falls_at_once_and_rises_by_a_tenth_of_the_limit_a_minute() -> None:
    old = Settled(200 * MIB, 0.0)
    assert settle(old, 50 * MIB, 4096 * MIB, 1.0) == Settled(50 * MIB, 1.0)
    assert settle(old, 2000 * MIB, 4096 * MIB, 0.0).memory == 200 * MIB
    minute = settle(old, 2000 * MIB, 4096 * MIB, 60.0).memory
    assert minute == pytest.approx(200 * MIB + 0.1 * 4096 * MIB, abs=1)
    assert settle(old, 2000 * MIB, 4096 * MIB, 3600.0).memory == 2000 * MIB
    # A clock that is set back gives nothing.
    assert settle(old, 2000 * MIB, 4096 * MIB, -60.0).memory == 200 * MIB


def test_what_the_harness_holds_is_its_own_however_fast_it_grew() -> None:
    old = Settled(60 * MIB, 0.0)
    grown = settle(old, 500 * MIB, 1024 * MIB, 1.0, lambda: 400 * MIB)
    assert grown.memory == 400 * MIB
    # Never more than is used: residents count what they share twice.
    assert settle(old, 300 * MIB, 1024 * MIB, 1.0, lambda: 400 * MIB).memory == 300 * MIB

    def unasked() -> int:
        raise AssertionError

    assert settle(old, 50 * MIB, 1024 * MIB, 1.0, unasked).memory == 50 * MIB


def test_a_hog_that_grows_as_fast_as_the_daemon_looks_meets_its_cap() -> None:
    limit, used, settled = 1024 * MIB, 60 * MIB, settle(None, 60 * MIB, 1024 * MIB, 0.0)
    for second in range(1, 100):
        settled = settle(settled, used, limit, float(second))
        cap = caps(limit=limit, pids=None, reserved=reserve(used), settled=reserve(settled.memory))
        assert cap.agent_memory is not None
        if used > cap.agent_memory:
            break
        used += 20 * MIB
    assert used < 500 * MIB
