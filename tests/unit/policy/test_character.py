"""What work looks like: on the shipped traces as an independent script has it, and at the edges."""

from pathlib import Path

import pytest

from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Account
from agentcg.policy import character
from tests.unit.policy import by_hand
from tests.unit.policy.by_hand import Work

REPO = Path(__file__).parents[3]
CONTAINERS = sorted((REPO / "tests/bench/kernel/traces").glob("*.csv"))
DEMOS = sorted((REPO / "vm_tests/demo/traces").glob("*.csv"))
AT = 1_780_000_000.0
ONE = SessionId("s-1")


def samples(work: Work) -> list[Sample]:
    return [Sample(AT + at, 50 + at, True, Usage(held, held)) for at, held in work.rows]


def calls(work: Work) -> list[Account]:
    return [
        Account(CallId(f"c-{n}"), ONE, kind, AT + at, Cause.EXITED, wall)
        for n, (at, wall, kind) in enumerate(work.calls)
    ]


@pytest.mark.parametrize("path", [*CONTAINERS, *DEMOS], ids=lambda path: path.stem)
@pytest.mark.parametrize("height", [200_000_000, character.BURST])
def test_it_is_what_an_independent_script_finds(path: Path, height: int) -> None:
    work = by_hand.demo(path) if path in DEMOS else by_hand.container(path)
    found = character.task(ONE, samples(work), calls(work), burst=height)
    assert found.seconds == pytest.approx(
        by_hand.seconds(work, lambda *_: True), rel=1e-3, abs=0.02
    )
    assert found.mean == pytest.approx(by_hand.mean(work), rel=1e-3)
    assert found.peak == max(held for _, held in work.rows)
    assert list(found.bursts) == pytest.approx(by_hand.bursts(work, height), rel=1e-3, abs=0.02)
    inside = by_hand.seconds(work, lambda _, __, inside: inside)
    assert found.in_calls == pytest.approx(inside, rel=1e-3, abs=0.02)
    both = by_hand.seconds(work, lambda _, then, inside: inside and then > height)
    assert found.burst_in_calls == pytest.approx(both, rel=1e-3, abs=0.02)
    assert (found.rise, found.fall) == pytest.approx(by_hand.fastest(work), rel=1e-3)
    assert list(found.retries) == by_hand.retries(work)


def test_there_are_traces_to_compare() -> None:
    assert len(CONTAINERS) >= 6
    assert len(DEMOS) >= 3


def test_a_burst_between_two_readings_is_one() -> None:
    high = character.BURST + 1
    readings = [(0, 5, 5), (1, 5, high), (2, 5, 5), (3, high, high), (4, high, high)]
    taken = [Sample(AT + n, n, False, Usage(now, peak)) for n, now, peak in readings]
    found = character.task(ONE, taken, [])
    assert found.bursts == (1.0, 2.0)
    assert found.peak == high


def test_nothing_is_made_of_nothing_nor_of_a_clock_that_was_put() -> None:
    none = character.task(ONE, [], [])
    assert (none.seconds, none.mean, none.peak, none.cpu) == (0, None, None, None)
    back = [Sample(AT + n - n // 5 * 100, n, True, Usage(5, 5, float(n % 3))) for n in range(9)]
    odd = [Account(CallId("c"), ONE, "x", AT, Cause.EXITED, -5.0)]
    found = character.task(ONE, [*back, back[0], Sample(AT, 1e6, False, Usage(9))], odd)
    assert found.seconds == 7
    assert str(found.fall) == "0.0"
    assert found.in_calls >= 0
    assert found.cpu == 5
    empty = character.fleet([none], [])
    assert (empty.in_calls, empty.retried, empty.peak_to_mean.count) == (None, None, 0)


def test_without_the_memory_controller_time_is_known_and_memory_is_not() -> None:
    taken = [Sample(AT + n, n, True, Usage(cpu=n / 2)) for n in range(11)]
    mine = [Account(CallId("a"), ONE, "make", AT + 1, Cause.EXITED, 4.0, 1.0)]
    found = character.task(ONE, taken, mine)
    assert (found.seconds, found.in_calls, found.cpu, found.measured) == (10, 4, 5, 0)
    assert (found.mean, found.peak, found.rise, found.fall) == (None, None, None, None)
    whole = character.fleet([found], mine)
    assert (whole.in_calls, whole.fast, whole.rise.count) == (0.4, None, 0)


def test_no_time_counts_twice_though_parts_are_out_of_order() -> None:
    # The time of day was put back by 40 s at 60 s; it was read in parts, by the time of day.
    taken = [
        Sample(AT + n - (40 if n >= 60 else 0), n, True, Usage(5, 5, float(n))) for n in range(120)
    ]
    parts = [one for a in (0, 30, 60) for one in taken if AT + a <= one.at < AT + a + 30]
    assert sorted(parts, key=lambda one: one.clock) == taken != parts
    found = character.task(ONE, parts, [])
    assert 110 <= found.seconds <= 119
    assert found.cpu == found.seconds


def test_time_in_calls_is_that_of_open_ones_too() -> None:
    taken = [Sample(AT + n, n, True, Usage(10, 10)) for n in range(11)]
    mine = [Account(CallId("a"), ONE, "make", AT + 1, Cause.EXITED, 4.0, 1.0)]
    others = [(AT + 9, 1e11), (AT - 100, AT + 2)]
    found = character.task(ONE, taken, mine, others=others)
    assert (found.in_calls, found.calls) == (6.0, 1)


def test_calls_that_overlap_count_once_and_shares_are_of_all_tasks() -> None:
    taken = [Sample(AT + n, n, True, Usage(10, 10, n / 2)) for n in range(11)]
    two = [
        Account(CallId("a"), ONE, "make", AT + 1, Cause.EXITED, 4.0, 1.0),
        Account(CallId("b"), ONE, "ls", AT + 2, Cause.OOM, 2.0, 1.0),
        Account(CallId("n"), ONE, "ls", AT + 9, Cause.NEVER_STARTED),
    ]
    found = character.task(ONE, taken, two)
    assert (found.in_calls, found.calls, found.cpu, found.cpu_of_calls) == (4.0, 2, 5.0, 2.0)
    other = character.task(SessionId("s-2"), taken, [])
    both = character.fleet([found, other], two)
    assert both.in_calls == pytest.approx(0.2)
    assert both.cpu_of_calls == pytest.approx(0.2)
    assert [(one.kind, one.calls) for one in both.classes] == [("make", 1), ("ls", 1)]
    assert [one.share for one in both.classes] == pytest.approx([2 / 3, 1 / 3])
