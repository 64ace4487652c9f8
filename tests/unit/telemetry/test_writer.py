"""The disk: full, damaged, of another release, torn by a power loss; one session's share of it."""

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account
from agentcg.telemetry import dayfile, recall, shelf, writer
from agentcg.telemetry.dayfile import DayFile
from agentcg.telemetry.store import Store
from tests.unit.telemetry.samples import sample
from tests.unit.telemetry.stores import DAY, EVER, Bench, taken, until, written

ACCOUNT = Account(CallId("c-1"), SessionId("s-1"), "ls", 30.0, Cause.EXITED)


def test_a_full_disk_is_told_once_and_what_waits_is_written_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [True]
    checks: list[bool] = []
    prepare = DayFile._prepare

    def small(file: DayFile, *, check: bool) -> None:
        checks.append(check)
        prepare(file, check=check)
        if full[0]:
            (pages,) = file._db.execute("PRAGMA page_count").fetchone()
            file._db.execute(f"PRAGMA max_page_count = {pages}")

    monkeypatch.setattr(DayFile, "_prepare", small)
    monkeypatch.setattr(writer, "WAITING", 20)
    one = bench.open()
    # Each its own chunk: 20 may wait, and the first file has room for some.
    for n in range(200):
        one.put("s-1", f"c-{n}", sample(n))
        one.over("s-1", f"c-{n}")
        if n % 20 == 0:
            one.settle()
            time.sleep(0.05)
    until(lambda: bench.told, "the word")
    until(lambda: one.lost, "losses")
    time.sleep(0.2)
    assert len(bench.told) == 1
    assert "database or disk is full" in bench.told[0]
    assert "free the disk" in bench.told[0]
    assert len(taken(one, "c-199")) == 1  # it waits, and can be seen
    full[0] = False
    written(one)
    until(lambda: len(bench.told) == 2, "the second word")
    assert f"{one.lost} samples are lost" in bench.told[1]
    assert len(taken(one, "c-199")) == 1
    # Tried every so often, but damage looked for once: that reads the whole file.
    assert len(checks) > 2
    assert checks.count(True) == 1
    kept = sum(len(taken(one, f"c-{n}")) for n in range(200))
    assert kept == 200 - one.lost


def test_a_folder_that_cannot_be_made_is_trouble_too(bench: Bench) -> None:
    bench.folder.write_text("in the way")
    one = bench.open()
    one.put("s-1", "c-1", sample(1))
    until(lambda: bench.told, "the word")
    bench.folder.unlink()
    written(one)
    assert len(taken(one)) == 1
    assert len(bench.told) == 2


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 64] = os.urandom(64)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["pages", "all of it"])
def test_a_damaged_file_of_today_is_set_aside_at_the_start(bench: Bench, how: str) -> None:
    one = bench.open()
    one.put("s-1", "c-1", sample(1))
    written(one)
    one.close()
    (path,) = [kept.path for kept in shelf.kept(bench.folder)]
    damaged(path) if how == "pages" else path.write_bytes(b"no database" * 500)
    again = bench.open()
    again.put("s-1", "c-2", sample(2))
    written(again)
    assert len(bench.told) == 1
    assert f"kept as {path.stem}.corrupt" in bench.told[0]
    assert bench.files == [f"{path.stem}.corrupt", f"{path.stem}.1.sqlite"]
    assert len(taken(again, "c-2")) == 1


def test_when_the_file_of_today_is_deleted_another_is_begun(bench: Bench) -> None:
    one = bench.open()
    one.put("s-1", "c-1", sample(0))
    written(one)
    for path in bench.folder.iterdir():
        path.unlink()
    one.put("s-1", "c-1", sample(1))
    written(one)
    one.close()
    assert [s.at for s in taken(bench.open())] == pytest.approx([sample(1).at])
    assert not bench.told


def test_a_damaged_old_file_is_set_aside_by_who_asks(bench: Bench) -> None:
    bench.ahead = -2 * DAY
    one = bench.open()
    one.put("s-1", "c-1", sample(1))
    written(one)
    one.close()
    (path,) = [kept.path for kept in shelf.kept(bench.folder)]
    bench.ahead = 0.0
    again = bench.open()
    again.put("s-1", "c-2", sample(2))
    written(again)
    damaged(path)
    assert taken(again, "c-1") == []
    until(lambda: bench.told, "the word")
    assert path.with_suffix(".corrupt").exists()
    assert not path.exists()
    assert len(taken(again, "c-2")) == 1
    assert len(bench.told) == 1


def test_a_file_that_is_damaged_while_it_is_written(bench: Bench) -> None:
    one = bench.open()
    for n in range(50):
        one.put("s-1", f"c-{n}", sample(n))
    written(one)
    file = one._writer._file
    assert file is not None
    file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged(file.path)
    file._db.execute("PRAGMA shrink_memory")
    until(lambda: _fed(one) and bench.told, "the word")
    written(one)
    assert "is corrupt" in bench.told[0]
    assert len(taken(one, "c-fed")) >= 1


_NUMBERS = itertools.count()


def _fed(one: Store) -> bool:
    one.put("s-1", "c-fed", sample(next(_NUMBERS)))
    one.settle()
    return True


def test_a_file_of_another_release_stays_as_it_is(bench: Bench) -> None:
    one = bench.open()
    one.put("s-1", "c-1", sample(1))
    written(one)
    one.close()
    (path,) = [kept.path for kept in shelf.kept(bench.folder)]
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {dayfile.VERSION + 1}")
    db.close()
    before = path.read_bytes()
    again = bench.open()
    again.put("s-1", "c-2", sample(2))
    written(again)
    assert bench.files == [path.name, f"{path.stem}.1.sqlite"]
    assert taken(again) == []
    assert len(taken(again, "c-2")) == 1
    assert path.read_bytes() == before
    assert bench.told == []


_WRITE_FOR_EVER = """
import sys, time
from pathlib import Path
from agentcg.telemetry import store
from agentcg.telemetry.store import Store
from agentcg.telemetry.writer import Rules, Writer
from tests.unit.telemetry.samples import sample
store.BATCH, store.CHUNK_SECONDS, store.FEW_SECONDS = 0.005, 0.0, 0.0
rules = Rules(Path(sys.argv[1]), 7, 1 << 30, "b")
one = Store(Writer(rules, now=time.time, clock=time.monotonic, tell=print))
for n in range(10**9):
    one.put("s-1", "c-1", sample(n))
    if n == 2000:
        print("on", flush=True)
    time.sleep(0.0002)
"""


@pytest.mark.parametrize("cut", [0, 1, 5000])
def test_what_was_written_survives_kill_9_and_a_torn_log(bench: Bench, cut: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITE_FOR_EVER, str(bench.folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGKILL)
    (path,) = [kept.path for kept in shelf.kept(bench.folder)]
    wal = path.with_name(path.name + "-wal")
    # As after a power loss: the end of the log never reached the disk, nor did its index.
    os.truncate(wal, max(0, wal.stat().st_size - cut))
    if cut:
        path.with_name(path.name + "-shm").unlink()
    one = bench.open()
    found = [round(s.clock * 10) for s in taken(one)]
    assert found == list(range(500, 500 + len(found)))
    assert len(found) > 1000
    one.put("s-1", "c-2", sample(0))
    written(one)
    assert bench.told == []
    assert len(taken(one)) == len(found)


def test_one_session_costs_no_other_its_record(bench: Bench) -> None:
    bench.size = 1 << 20  # a share of 64 KiB
    one = bench.open()
    for n in range(600):
        one.put("s-1", f"c-{n}", sample(n))
        one.note(Event(n, 1.0, Kind.CALL_DECLARED, "s-1", f"c-{n}", "x" * 100))
    one.put("s-2", "c-1", sample(0))
    written(one)
    assert len(recall.samples(one, "s-2", "c-1", EVER)[0]) == 1
    recorded = sum(len(taken(one, f"c-{n}")) for n in range(600))
    events = len(recall.events(one, "s-1", None, EVER))
    assert 32 << 10 < recorded * 160 + events * 250 <= 64 << 10
    assert one.lost == 600 - recorded
    assert len(bench.told) == 1
    assert "session s-1" in bench.told[0]
    bench.ahead = DAY
    one.put("s-1", "c-new", sample(0))
    written(one)
    assert len(taken(one, "c-new")) == 1


def test_a_row_that_fits_in_no_file_holds_up_no_other(bench: Bench) -> None:
    one = bench.open()
    one.note(Event(1, 1.0, Kind.CALL_DECLARED, "s-1", "c-1", "\ud800"))
    one.note(Event(2, 2.0, Kind.CALL_STARTED, "s-1", "c-1", data={"n": 1}))
    one.note(replace(ACCOUNT, peak=1 << 70))
    one.note(ACCOUNT)
    one.put("s-1", "c-1", sample(1))
    one.over("s-1", "c-1")
    written(one)
    assert [e.seq for e in recall.events(one, "s-1", "c-1", EVER)] == [2]
    assert recall.accounts(one, "s-1", None, EVER) == [ACCOUNT]
    assert len(taken(one)) == 1
    assert bench.told == []
