"""What is made of the rows of `make bench-kernel`."""

import random
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench.kernel import overhead, pictures, report, stats
from tests.bench.kernel.peers import ROOM
from tests.bench.kernel.replay import ALONE, ARMS


def tenant(name: str, state: str = "done", seconds: float = 30, **more: float) -> dict[str, Any]:
    base = {"name": name, "state": state, "seconds": seconds, "planned": 30.0, "start": 0.0}
    return {**base, "done": 30.0, "at_high_end": 30.0, "peak": 300, **more}


def row(seed: int, arm: str, *tenants: dict[str, Any], batches: Any = (1000,)) -> dict[str, Any]:
    who = tenants or (tenant("high-a"), tenant("low-a"))
    curve = [[at / 2, *[40 * at] * len(who)] for at in range(6)]
    fields = {"pool": 640, "tight": 0.3, "batches_us": list(batches), "curve": curve}
    fields["paces_ns"] = [100] * len(batches)
    return {"seed": seed, "arm": arm, "tenants": list(who), **fields}


def test_a_quantile_is_a_value_that_was_seen() -> None:
    values = list(range(1, 101))
    assert [stats.quantile(values, part) for part in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert stats.quantile([7], 0.5) == 7


def test_latency_pools_the_batches_of_all_runs() -> None:
    rng = random.Random(1)
    rows = {s: row(s, "x", batches=[rng.randint(1, 9999) for _ in range(50)]) for s in range(6)}
    pooled = sorted(us for r in rows.values() for us in r["batches_us"])
    for part in (0.5, 0.95, 0.99):
        found = stats.latency(rows, part)
        assert found.value == stats.quantile(pooled, part) / 1e3
        assert found.low <= found.value <= found.high


def test_a_ratio_is_taken_over_runs_that_both_have() -> None:
    base = {s: row(s, ALONE, batches=[100] * 20) for s in range(4)}
    rows = {s: row(s, "x", batches=[150] * 20) for s in (1, 2, 9)}
    assert stats.ratio(rows, base, 0.95) == stats.Interval(1.5, 1.5, 1.5)


def test_the_interval_is_wide_where_runs_differ() -> None:
    base = {s: row(s, ALONE, batches=[100]) for s in range(8)}
    rows = {s: row(s, "x", batches=[100 if s % 2 else 300]) for s in range(8)}
    found = stats.ratio(rows, base, 0.5)
    assert (found.low, found.high) == (1, 3)


def test_a_share_of_few_runs_is_not_certain() -> None:
    assert stats.proportion(20, 20).low == pytest.approx(0.839, abs=0.01)
    assert stats.proportion(20, 20).high == 1
    assert stats.proportion(0, 3).high == pytest.approx(0.56, abs=0.01)


def test_a_run_without_pressure_does_not_count() -> None:
    rows = [row(0, "none"), {**row(1, "none"), "tight": 0.19}, row(1, "PSI loop")]
    assert stats.counted(rows) == [0]


def test_a_batch_on_half_a_core_is_left_out() -> None:
    slow = {**row(1, "x", batches=[200, 101, 102]), "paces_ns": [190, 119, 121]}
    whole, part = stats.steady([row(0, "x", batches=[100] * 20), slow])
    assert whole["batches_us"] == [100] * 20
    assert part["batches_us"] == [101]
    assert slow["batches_us"] == [200, 101, 102]


def test_work_of_the_killed_is_lost() -> None:
    lows = [tenant("low-a"), tenant("low-b", "killed", seconds=20, done=20, at_high_end=20)]
    found = row(0, "none", tenant("high-a"), *lows)
    assert stats.throughput(found) == pytest.approx(1)
    assert stats.conservation(found) == pytest.approx(50)
    assert stats.finished(found, high=False) == 0.5
    assert not stats.survived(found, high=False)
    assert stats.survived(found, high=True)


def test_isolation_is_the_speed_against_that_alone() -> None:
    alone = row(0, ALONE, tenant("high-a"))
    assert stats.isolation(row(0, "x", tenant("high-a", seconds=40)), alone) == 75
    assert stats.isolation(row(0, "x", tenant("high-a", "killed")), alone) == 0
    assert stats.isolation(row(0, "x", tenant("high-a", seconds=29)), alone) == 100


def test_verdicts_name_who_keeps_the_promise() -> None:
    killed = row(0, "none", tenant("high-a", "killed"), tenant("low-a"))
    slow = row(0, "PSI loop", batches=[1300])
    rows = {"alone": row(0, ALONE, tenant("high-a")), "none": killed, "PSI loop": slow}
    arms = {name: {0: found} for name, found in {**rows, "agentcg T1": row(0, "x")}.items()}
    words = [line.split(" the criterion")[0] for line in report.verdicts(arms)]
    assert words == ["- none fails", "- PSI loop fails", "- agentcg T1 meets"]
    assert report.latencies(arms).count("\n") == 2 + len(arms)
    assert "| 1 of 1 |" in report.outcomes(arms)


def test_pictures_are_drawn_of_every_arm() -> None:
    arms = {name: {3: row(3, name, batches=[10, 200, 3000])} for name in ARMS}
    shown = {pictures.latency(arms): ARMS, pictures.pool(arms, 3): set(ARMS) - {ROOM}}
    for svg, names in shown.items():
        text = "".join(ElementTree.fromstring(svg).itertext())
        assert all(name in text for name in names)
        assert "nan," not in svg


def test_overhead_is_told_in_percent() -> None:
    rows = [
        {"measure": measure, "place": place, "tier": tier, "run": 0, "ns": ns}
        for measure in overhead.MEASURES
        for place in overhead.PLACES
        for tier, ns in (("off", 1000), ("T1", 1004))
    ]
    table = overhead.table(rows)
    assert table.count("| +0.40 % |") == 8
