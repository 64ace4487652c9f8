"""From when batches were done: how far past the threshold, and how late, a process stood."""

import pytest

from tests.bench.kernel.reaction import SIZE, judge, table
from vm_tests.guest.sandbox import MIB

BATCH = MIB // 4


def steps(count: int, start: float = 0.0, every: float = 0.001) -> list[float]:
    return [start + every * (n + 1) for n in range(count)]


def test_one_thread_that_stands_two_batches_after_the_threshold() -> None:
    done = [*steps(10), 2.0, 4.0]
    found = judge([done], BATCH, room=8 * BATCH, end=5.0)
    assert found.speed == pytest.approx(7 * BATCH / 0.007)
    assert found.took == pytest.approx(0.002)
    assert (found.over, found.grown, found.held) == (2 * BATCH, 2 * BATCH, True)


def test_a_pause_before_the_threshold_is_none_and_a_short_one_neither() -> None:
    done = [*steps(4), *steps(4, 1.0), *steps(4, 1.04)]
    found = judge([done], BATCH, room=8 * BATCH, end=3.0)
    assert (found.over, found.held) == (4 * BATCH, True)


def test_who_stood_at_the_crossing_was_not_late() -> None:
    found = judge([[*steps(4), 0.9], steps(6, 0.0, 0.002)], BATCH, room=8 * BATCH, end=1.0)
    assert found.took == pytest.approx(0.012 - 0.008)
    assert (found.over, found.grown) == (2 * BATCH, BATCH)


def test_the_last_of_several_threads_counts() -> None:
    found = judge([steps(6), steps(12)], BATCH, room=8 * BATCH, end=1.0)
    assert found.over == 10 * BATCH
    assert found.took == pytest.approx(0.008)


def test_nobody_held_it() -> None:
    found = judge([steps(SIZE // BATCH)], BATCH, room=8 * BATCH, end=60.0)
    assert not found.held
    assert found.over == SIZE - 8 * BATCH


def test_the_table_has_median_and_worst() -> None:
    row = {"way": "4 KiB pages", "arm": "T1", "speed": 100 * MIB, "grown": 0, "held": True}
    every = [
        {**row, "way": way, "arm": arm, "over": over, "took": took}
        for way in ("4 KiB pages", "4 KiB pages, 4 threads", "huge pages", "tmpfs, writes of 1 MiB")
        for arm in ("T1", "memory.high", "PSI loop")
        for over, took in ((0, 0.0), (2048, 0.004), (4096, 0.5))
    ]
    assert "| 4 KiB pages | T1 | 100 | 2 (at most 4) | 4 (at most 500) |" in table(every)
