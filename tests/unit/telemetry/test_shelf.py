"""The end of old files, and the parts of large ones."""

import time
from pathlib import Path

import pytest

from agentcg.telemetry import recall, shelf, store
from tests.unit.telemetry.samples import sample
from tests.unit.telemetry.stores import EVER, Bench, taken, until, written


def test_old_files_go_and_so_do_the_oldest_beyond_the_size(bench: Bench) -> None:
    bench.folder.mkdir()
    for day in ("2020-01-01", "2020-01-02"):
        (bench.folder / f"{day}.sqlite").write_bytes(b"x" * 5000)
    (bench.folder / "2020-01-03.corrupt").write_bytes(b"x")
    (bench.folder / "notes.txt").write_text("not ours")
    one = bench.open()
    one.put("s-1", "c-1", sample(1))
    until(lambda: len(bench.files) == 1, "the old ones to go")
    assert (bench.folder / "notes.txt").exists()
    assert len(taken(one)) == 1


def test_a_large_file_is_followed_by_another_part(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHUNK_SAMPLES", 2)
    bench.size = 2 << 20
    one = bench.open()
    n = 0
    while len(bench.files) < 4:
        for _ in range(1500):
            one.put(f"s-{n}", "c-1", sample(n))
            n += 1
        written(one)
        time.sleep(0.06)
        assert n < 100_000
    total = sum(each.size for each in shelf.kept(bench.folder))
    assert total <= 2 * bench.size
    assert len(recall.samples(one, f"s-{n - 1}", "c-1", EVER)[0]) == 1


def test_the_oldest_go_first_and_never_the_one_in_use() -> None:
    kept = [
        shelf.Kept(day, part, Path(f"{day}.{part}.sqlite"), 10)
        for day, part in (
            ("2026-01-01", 0),
            ("2026-01-09", 0),
            ("2026-01-10", 0),
            ("2026-01-10", 1),
        )
    ]
    now = 1768046400.0  # 2026-01-10 12:00
    mine = kept[3].path

    def gone(**rules: int) -> list[int]:
        limits = {"days": 30, "size": 100} | rules
        found = shelf.doomed(kept, now, keep=mine, **limits)
        return [kept.index(one) for one in found]

    assert gone() == []
    assert gone(days=5) == [0]
    assert gone(days=1) == [0]
    assert gone(size=20) == [0, 1]
    assert gone(size=1) == [0, 1, 2]
    assert shelf.doomed(kept, None, days=1, size=100, keep=mine) == []
