"""Who used how much at a moment, in files and before them."""

import pytest

from agentcg.telemetry import holdings, recall
from tests.unit.telemetry.samples import MIB, sample
from tests.unit.telemetry.stores import Bench, written


def test_all_that_lived_then_are_found_whenever_they_began(bench: Bench) -> None:
    one = bench.open()
    now = bench.now()
    for n in range(900):
        one.put("s-9", "c-hog", sample(n, at=now - 90))
    one.put("s-1", "", sample(0, at=now - 1))
    one.over("s-9", "c-hog")
    written(one)
    one.put("s-1", "c-new", sample(0, at=now - 2))
    one.put("s-1", "c-gone", sample(0, at=now - 60))
    (found, early), cut = holdings.at(one, [now - 0.05, now - 85])
    assert not cut
    assert set(found) == {("s-9", "c-hog"), ("s-1", ""), ("s-1", "c-new")}
    assert found["s-9", "c-hog"] == 10 * MIB + 899 * 4096
    assert early == {("s-9", "c-hog"): 10 * MIB + 50 * 4096}


def test_too_much_is_cut_and_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "SAMPLES", 300)
    one = bench.open()
    now = bench.now()
    for n in range(600):
        one.put("s-1", "c-1", sample(n, at=now - 60))
    one.over("s-1", "c-1")
    written(one)
    found, cut = holdings.at(one, [now - 5 * n for n in range(4)])
    assert cut
    assert found[0]
