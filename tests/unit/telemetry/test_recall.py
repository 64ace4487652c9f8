"""What was recorded is read back: whole, once, and in order."""

import sqlite3
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account
from agentcg.telemetry import dayfile, recall, shelf, writer
from agentcg.telemetry.dayfile import Span
from tests.unit.telemetry.samples import sample
from tests.unit.telemetry.stores import DAY, EVER, Bench, taken, written


def test_a_damaged_chunk_is_left_out_and_the_others_are_read(bench: Bench) -> None:
    one = bench.open()
    for n in (0, 1):
        one.put("s-1", "c-1", sample(n))
        one.over("s-1", "c-1")
    written(one)
    one.close()
    (path,) = [kept.path for kept in shelf.kept(bench.folder)]
    with sqlite3.connect(path) as db:
        db.execute("UPDATE chunk SET data = x'00112233445566' WHERE rowid = 1")
    db.close()
    assert len(taken(bench.open())) == 1


def test_a_long_past_is_cut_at_its_old_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "SAMPLES", 600)
    one = bench.open()
    for n in range(2000):
        one.put("s-1", "c-1", sample(n))
    written(one)
    found, cut = recall.samples(one, "s-1", "c-1", EVER)
    assert cut
    assert 300 < len(found) <= 600
    assert round(found[-1].clock * 10) == 2499


@pytest.mark.parametrize("jump", [-3 * DAY, -90.0, 90.0, 400 * DAY])
def test_a_jump_of_the_clock_changes_no_order_and_deletes_nothing(
    bench: Bench, jump: float
) -> None:
    one = bench.open()
    begun = time.time()
    for n in range(40):
        if n == 20:
            written(one)
            bench.ahead = jump
        at = begun + bench.ahead
        one.put("s-1", "c-1", sample(n, at=at))
        one.over("s-1", "c-1") if n % 7 == 0 else None
    written(one)
    time.sleep(0.2)
    found = taken(one)
    assert [round(s.clock * 10) for s in found] == list(range(500, 540))
    assert [s.at for s in found[:20]] == pytest.approx([begun + n / 10 for n in range(20)])
    assert [s.at for s in found[20:]] == pytest.approx(
        [begun + jump + n / 10 for n in range(20, 40)]
    )
    assert len(bench.told) == (abs(jump) > writer.JUMP)
    assert len(taken(bench.open())) == 40


@pytest.mark.parametrize(("second", "gap"), [(1060.2, 60.0), (400.0, 0.001)])
def test_two_boots_are_in_the_order_in_which_they_were(
    bench: Bench, second: float, gap: float
) -> None:
    for boot, clock, at in (("boot-1", 900.0, 1000.0), ("boot-2", 5.0, second)):
        bench.boot = boot
        one = bench.open()
        for n in range(3):
            one.put("s-1", "c-1", sample(n, clock=clock, at=at))
        one.close()
    # The clock goes on over the reboot: what was before is reckoned back from it.
    assert [s.clock for s in taken(bench.open())] == pytest.approx(
        [4.8 - gap, 4.9 - gap, 5.0 - gap, 5.0, 5.1, 5.2]
    )


def test_a_reader_sees_each_sample_once_while_they_are_written(bench: Bench) -> None:
    one = bench.open()
    done = threading.Event()

    def put() -> None:
        for n in range(400):
            one.put("s-1", "c-1", sample(n))
            time.sleep(0.001)
        done.set()

    with_it = threading.Thread(target=put)
    with_it.start()
    seen = 0
    while not done.is_set():
        found = [round(s.clock * 10) for s in taken(one)]
        assert found == list(range(500, 500 + len(found)))
        assert len(found) >= seen
        seen = len(found)
    with_it.join()
    assert len(taken(one)) == 400


def test_events_and_accounts_come_back(bench: Bench) -> None:
    one = bench.open()
    s, c = SessionId("s-1"), CallId("c-1")
    told = [
        Event(1, 10.0, Kind.CALL_STARTED, s, c, "pid 7 \u202e"),
        Event(2, 11.0, Kind.PRESSURE, s, None, "tight", {"memory": 5}),
        Event(3, 12.0, Kind.CALL_OOM, s, "c-2", "", {"peak": None}),
        Event(4, 12.0, Kind.CALL_OOM, "s-2", "c-3"),
    ]
    full = Account(c, s, "git status", 9.0, Cause.OOM, 1.0, 2.0, 3, 4.0, 5.0, 6, 7, 8, 9, 10)
    other = Account(CallId("c-3"), SessionId("s-2"), "ls", 30.0, Cause.EXITED)
    rows: list[Event | Account] = [*told, full, other]
    for row in rows:
        one.note(row)
    for _ in range(2):
        assert recall.accounts(one, None, None, EVER) == [other, full]
        assert recall.accounts(one, "s-1", None, EVER) == [full]
        assert recall.accounts(one, None, "ls", EVER) == [other]
        assert recall.accounts(one, "s-1", "ls", EVER) == []
        assert recall.accounts(one, None, None, Span(20.0, 40.0)) == [other]
        assert recall.events(one, "s-1", None, EVER) == told[:3]
        assert recall.events(one, "s-1", "c-1", EVER) == told[:1]
        assert recall.events(one, "s-1", None, Span(10.5, 11.5)) == [told[1]]
        written(one)


def test_damaged_rows_are_left_out_and_the_others_are_read(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    one = bench.open()
    for n in range(4):
        one.note(Event(n, 10.0 + n, Kind.PRESSURE, SessionId("s-1"), None, "", {"n": n}))
        one.note(Account(CallId(f"c-{n}"), SessionId("s-1"), "ls", float(n), Cause.EXITED))
        one.put("s-1", "c-1", sample(n))
        one.over("s-1", "c-1")
    written(one)
    one.close()
    (path,) = [kept.path for kept in shelf.kept(bench.folder)]
    with sqlite3.connect(path) as db:
        db.execute("UPDATE event SET data = '{\"n\"' WHERE seq = 0")
        db.execute("UPDATE event SET seq = 'x' WHERE seq = 1")
        db.execute("UPDATE event SET kind = 'of a later release' WHERE seq = 2")
        db.execute("UPDATE account SET cause = 'x' WHERE call = 'c-0'")
        db.execute("UPDATE account SET peak = 'x' WHERE call = 'c-1'")
        db.execute("UPDATE chunk SET clock = 'x' WHERE rowid = 1")
        db.execute("UPDATE chunk SET data = 7 WHERE rowid = 2")
    db.close()
    again = bench.open()
    assert [e.seq for e in recall.events(again, "s-1", None, EVER)] == [3]
    assert [a.call for a in recall.accounts(again, None, None, EVER)] == ["c-3", "c-2"]
    assert len(taken(again)) == 2
    assert "rows are left out" in caplog.text


def test_only_as_much_is_read_as_is_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in range(-4, 1):
        bench.ahead = days * DAY
        one = bench.open()
        for n in range(10):
            one.put("s-1", "c-1", sample(days * 100 + n, clock=1000.0))
            one.over("s-1", "c-1")
            one.note(Event(n, 1e4 + days * 100 + n, Kind.PRESSURE, "s-1", None))
        written(one)
        one.close()
    read: list[str] = []
    reading = dayfile.reading

    def counted(path: Path) -> AbstractContextManager[sqlite3.Connection]:
        read.append(path.name)
        return reading(path)

    monkeypatch.setattr(dayfile, "reading", counted)
    monkeypatch.setattr(recall, "SAMPLES", 15)
    monkeypatch.setattr(recall, "EVENTS", 15)
    one = bench.open()
    assert len(bench.files) == 5
    found, cut = recall.samples(one, "s-1", "c-1", EVER)
    assert cut
    assert [round(s.clock * 10) - 10000 for s in found] == [*range(-95, -90), *range(10)]
    assert read == bench.files[:-3:-1]
    read.clear()
    assert len(recall.events(one, "s-1", None, EVER)) == 15
    assert read == bench.files[:-3:-1]


def test_samples_that_come_out_of_order_are_put_in_order(bench: Bench) -> None:
    one = bench.open()
    for n in (1, 0, 3, 2):
        one.put("s-1", "c-1", sample(n))
        one.over("s-1", "c-1") if n == 0 else None
    one.put("s-1", "c-1", sample(-1))
    assert [round(s.clock * 10) for s in taken(one)] == [499, 500, 501, 502, 503]
    written(one)
    assert [round(s.clock * 10) for s in taken(one)] == [499, 500, 501, 502, 503]


def test_a_long_answer_lets_others_have_the_interpreter(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.open()
    for n in range(3000):
        one.put("s-1", "c-1", sample(n))
        one.note(Account(CallId(f"c-{n}"), SessionId("s-1"), "ls", 1.0, Cause.EXITED))
    one.over("s-1", "c-1")
    written(one)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert len(recall.samples(one, "s-1", "c-1", EVER)[0]) == 3000
    assert len(pauses) >= 3000 // 512
    pauses.clear()
    assert len(recall.accounts(one, None, None, EVER)) == 3000
    assert len(pauses) == 3000 // 256
