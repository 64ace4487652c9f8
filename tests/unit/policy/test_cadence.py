"""When a cgroup is read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.model.sample import Usage
from agentcg.policy import cadence
from agentcg.policy.cadence import QUIET, TICK, Cadence

MIB = 1 << 20


def idle_for(seconds: float, one: Cadence) -> tuple[Cadence, int]:
    """Read it when due while nothing moves; how often that was."""
    now, readings = one.due, 0
    while one.due < seconds:
        now = one.due
        full = one.is_full(now)
        one = cadence.after(one, now, moved=False, ran=False, full=full)
        readings += 1
    return one, readings


def test_what_moves_is_read_each_tick_and_whole_once_a_second() -> None:
    one, fulls, readings = Cadence(), 0, 0
    while one.due < 10.0 - TICK / 2:
        full = one.is_full(one.due)
        fulls += full
        readings += 1
        one = cadence.after(one, one.due, moved=True, ran=True, full=full)
    assert readings == 100
    assert fulls == 10


def test_what_does_not_move_is_read_each_few_seconds() -> None:
    one, readings = idle_for(64.0, Cadence())
    assert one.every == QUIET
    assert readings < 26


def test_what_only_computes_is_read_once_a_second() -> None:
    one = cadence.after(Cadence(every=QUIET), 5.0, moved=False, ran=True, full=True)
    assert one.due == pytest.approx(6.0)


def test_an_event_makes_it_due_at_once() -> None:
    one, _ = idle_for(64.0, Cadence())
    now = one.due - 1
    stirred = cadence.stirred(one, now)
    assert stirred.due == now
    assert stirred.every == TICK


@given(st.lists(st.floats(0.0, 0.5), max_size=50), st.sampled_from([TICK, 1.0]))
def test_a_storm_of_events_makes_it_due_no_sooner_than_its_rate(
    gaps: list[float], least: float
) -> None:
    now = 100.0
    one = cadence.after(Cadence(least, least), now, moved=True, ran=False, full=False)
    for gap in gaps:
        now += gap
        one = cadence.stirred(one, now)
        assert one.due >= 100.0 + least - 1e-6


@given(st.floats(0, 1e6), st.booleans(), st.booleans(), st.booleans())
def test_the_next_reading_is_never_sooner_nor_later_than_the_bounds(
    now: float, moved: bool, ran: bool, full: bool
) -> None:
    one = cadence.after(Cadence(every=0.8), now, moved=moved, ran=ran, full=full)
    assert now + TICK / 2 - 1e-6 <= one.due <= now + QUIET + TICK
    assert 0 <= cadence.until_tick(now) <= TICK + 1e-6


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (Usage(10 * MIB), Usage(10 * MIB, 10 * MIB), False),
        (Usage(10 * MIB), Usage(11 * MIB, 11 * MIB), True),
        (Usage(10 * MIB), Usage(9 * MIB, 10 * MIB), True),
        (Usage(10 * MIB), Usage(10 * MIB, 30 * MIB), True),  # a burst that is over
        (Usage(1000 * MIB), Usage(1005 * MIB, 1005 * MIB), False),
        (Usage(), Usage(MIB, MIB), True),
        (Usage(), Usage(), False),
    ],
)
def test_moving_is_a_mib_or_a_hundredth(before: Usage, now: Usage, expected: bool) -> None:
    assert cadence.moved(before, now) is expected


def test_computing_is_a_hundredth_of_a_cpu() -> None:
    assert cadence.ran(Usage(cpu=1.0), Usage(cpu=1.02), 1.0)
    assert not cadence.ran(Usage(cpu=1.0), Usage(cpu=1.02), 10.0)
    assert cadence.ran(Usage(), Usage(cpu=0.1), 1.0)
    assert not cadence.ran(Usage(cpu=1.0), Usage(), 1.0)
