"""The store: what goes in comes out, in few bytes, and nobody waits for it."""

import threading
import time
from dataclasses import replace

import pytest

from agentcg.telemetry import shelf, store, writer
from agentcg.telemetry.dayfile import Span
from tests.unit.telemetry.samples import sample
from tests.unit.telemetry.stores import Bench, taken, until, written


def test_samples_come_back_before_and_after_they_are_written(bench: Bench) -> None:
    one = bench.open()
    series = [sample(n) for n in range(300)]
    for each in series:
        one.put("s-1", "c-1", each)
    one.put("s-1", "", sample(7))
    found = taken(one)
    assert [s.usage for s in found] == [s.usage for s in series]
    written(one)
    assert [s.usage for s in taken(one)] == [s.usage for s in series]
    assert [s.at for s in taken(one)] == pytest.approx([s.at for s in series])
    assert len(taken(one, "")) == 1
    assert taken(one, "c-2") == []
    assert [s.at for s in taken(one, span=Span(1005.0, 1005.25))] == pytest.approx(
        [1005.0, 1005.1, 1005.2]
    )
    one.close()
    assert [s.usage for s in taken(bench.open())] == [s.usage for s in series]


def test_a_disk_that_hangs_makes_no_queue_grow(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "QUEUE", 50)
    hangs, go_on = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        # The writer may come by before there is anything.
        if any(one.unwritten("s-1", "c-1")):
            hangs.set()
            go_on.wait(10)

    one = bench.open()
    monkeypatch.setattr(writer.Writer, "write", hang)
    one.put("s-1", "c-1", sample(0))
    assert hangs.wait(5)
    begun = time.monotonic()
    for n in range(1, 500):
        one.put("s-1", "c-1", sample(n))
    assert time.monotonic() - begun < 1
    assert one.lost == 449
    monkeypatch.undo()
    go_on.set()
    until(lambda: bench.told, "the word")
    assert bench.told == ["traces: 449 samples were lost: the disk was slower than they came"]


def test_a_sample_takes_less_than_200_bytes_even_in_short_calls(bench: Bench) -> None:
    one = bench.open()
    for call in range(2000):
        for n in range(4):
            one.put("s-1", f"c-{call:08}", replace(sample(n * 10), full=True))
        one.over("s-1", f"c-{call:08}")
    written(one)
    one.close()
    total = sum(kept.size for kept in shelf.kept(bench.folder))
    assert total / 8000 < 100
