"""What survives: the journal, over crashes, damage and a full disk."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.control import journal as journals
from agentcg.control.journal import Journal
from agentcg.errors import UnavailableError
from agentcg.model.call import Call
from agentcg.model.gpu import (
    EngineLimit,
    GpuWish,
    GuardKind,
    Lease,
    LeaseId,
    LeaseState,
    OnDeny,
    ProgramId,
)
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.session import Session
from tests.unit.control.records import FULL_CALL, FULL_SESSION, SESSION, call


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    made = Journal(path, keep=3)
    yield made
    made.close()


def reopened(path: Path) -> tuple[list[Session], list[Call]]:
    made = Journal(path, keep=3)
    try:
        return made.open_sessions(), made.open_calls()
    finally:
        made.close()


def test_every_field_of_a_record_comes_back(journal: Journal) -> None:
    journal.put_session(FULL_SESSION, is_open=True)
    journal.put_call(FULL_CALL)
    assert journal.open_sessions() == [FULL_SESSION]
    assert journal.open_calls() == [FULL_CALL]
    assert journal.call("c-full") == FULL_CALL
    assert journal.call("c-none") is None


def test_a_record_is_the_last_that_was_written(journal: Journal) -> None:
    journal.put_call(call("c-1"))
    journal.put_call(replace(call("c-1"), pid=77))
    assert [c.pid for c in journal.open_calls()] == [77]


def test_open_calls_come_oldest_first_and_closed_ones_newest_first(journal: Journal) -> None:
    for name, at in (("c-b", 2.0), ("c-a", 1.0), ("c-c", 3.0)):
        journal.put_call(call(name, at=at))
    assert [c.id for c in journal.open_calls()] == ["c-a", "c-b", "c-c"]
    for name, at in (("c-b", 2.0), ("c-a", 1.0), ("c-c", 3.0)):
        journal.put_call(call(name, at=at, closed=True))
    assert journal.open_calls() == []
    assert [c.id for c in journal.closed_calls(2)] == ["c-c", "c-b"]


def test_a_closed_session_is_not_open(journal: Journal) -> None:
    journal.put_session(SESSION, is_open=True)
    journal.put_session(SESSION, is_open=False)
    assert journal.open_sessions() == []
    assert journal.session("s-1") == SESSION
    assert journal.session("s-2") is None


def test_a_key_finds_its_last_call_in_its_own_session(journal: Journal) -> None:
    journal.put_call(call("c-1", at=1.0, key="toolu_1", closed=True))
    journal.put_call(call("c-2", at=2.0, key="toolu_1"))
    journal.put_call(call("c-3", at=3.0, key="toolu_2"))
    found = journal.call_by_key("s-1", "toolu_1")
    assert found is not None
    assert found.id == "c-2"
    assert journal.call_by_key("s-2", "toolu_1") is None


def test_a_journal_that_is_opened_again_knows_what_was_open(path: Path) -> None:
    first = Journal(path, keep=3)
    first.put_session(SESSION, is_open=True)
    first.put_call(call("c-1"))
    first.put_call(call("c-2", closed=True))
    first.close()
    assert reopened(path) == ([SESSION], [call("c-1")])


def test_a_write_outlives_the_sigkill_that_follows_it(path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from agentcg.control.journal import Journal\n"
        "from agentcg.model.session import Runtime, Session\n"
        "from agentcg.model.ids import SessionId\n"
        "journal = Journal(Path(sys.argv[1]), keep=3)\n"
        "session = Session(SessionId('s-1'), Runtime.BARE, 'pool/s-1', 7)\n"
        "journal.put_session(session, is_open=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(journals.__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert reopened(path) == ([SESSION], [])


def test_a_file_that_is_no_journal_is_put_aside(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all " * 100)
    assert reopened(path) == ([], [])
    assert (path.parent / "journal.corrupt").read_bytes().startswith(b"not a database")


def test_a_journal_that_is_damaged_in_the_middle_is_put_aside(path: Path) -> None:
    first = Journal(path, keep=3)
    for number in range(200):
        first.put_call(call(f"c-{number}"))
    first.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    assert reopened(path) == ([], [])
    assert (path.parent / "journal.corrupt").stat().st_size == size


def test_the_log_of_a_damaged_journal_is_not_applied_to_the_new_one(path: Path) -> None:
    first = Journal(path, keep=3)
    first.put_call(call("c-1"))
    log = path.with_name("journal.sqlite-wal").read_bytes()
    first.close()
    assert len(log) > 4096
    path.write_bytes(b"not a database at all " * 1000)
    path.with_name("journal.sqlite-wal").write_bytes(log)
    sessions, calls = reopened(path)
    # Either the log made the file whole again, or both were left behind.
    assert sessions == []
    assert calls in ([], [call("c-1")])
    assert reopened(path) == (sessions, calls)


def test_a_second_damage_takes_the_place_of_the_first(path: Path) -> None:
    for text in (b"first " * 200, b"second " * 200):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text)
        assert reopened(path) == ([], [])
    assert (path.parent / "journal.corrupt").read_bytes() == b"second " * 200


def test_a_record_that_cannot_be_read_is_left_out_and_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Journal(path, keep=3)
    first.put_call(call("c-1"))
    first.put_call(call("c-2"))
    first.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE call SET record = '{\"id\": 5}' WHERE id = 'c-1'")
    db.close()
    assert reopened(path) == ([], [call("c-2")])
    assert "a record is left out" in caplog.text


def test_a_record_of_another_release_with_more_fields_is_read(path: Path) -> None:
    first = Journal(path, keep=3)
    first.put_session(SESSION, is_open=True)
    first.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE session SET record = json_set(record, '$.colour', 'red')")
    db.close()
    assert reopened(path) == ([SESSION], [])


def test_a_place_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be opened"):
        Journal(tmp_path / "file/journal.sqlite", keep=3)
    with pytest.raises(UnavailableError, match="free the disk or move the file away"):
        Journal(tmp_path, keep=3)


class FullDisk:
    """A connection to a disk without room."""

    def __init__(self) -> None:
        self.rolled_back = 0

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        self.rolled_back += 1

    def execute(self, *_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    def close(self) -> None:
        pass


def test_a_full_disk_is_counted_and_said_and_not_raised(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = journal._db
    journal.put_call(call("c-1"))
    monkeypatch.setattr(journal, "_db", FullDisk())
    journal.put_call(call("c-2"))
    journal.put_session(SESSION, is_open=True)
    assert journal.failed_writes == 2
    assert "disk is full); free the disk, the daemon goes on" in caplog.text
    monkeypatch.setattr(journal, "_db", real)
    journal.put_call(call("c-3"))
    assert [c.id for c in journal.open_calls()] == ["c-1", "c-3"]
    assert journal.failed_writes == 2


def test_a_file_that_reached_its_largest_size_is_a_full_disk(journal: Journal) -> None:
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(100):
        journal.put_call(replace(call(f"c-{number}"), intent=Intent(command="x" * 4000)))
    assert journal.failed_writes > 50


def test_a_disk_that_cannot_be_read_is_not_taken_for_an_empty_journal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_db", FullDisk())
    for read in (journal.open_calls, journal.open_sessions, lambda: journal.call("c-1")):
        with pytest.raises(UnavailableError, match="reading failed"):
            read()


def test_pruning_keeps_the_newest_closed_calls_and_all_that_are_open(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_PRUNE_EVERY", 10)
    journal.put_call(call("c-open", at=0.0))
    for number in (5, 3, 8, 1, 9, 2, 7, 4, 6):
        journal.put_call(call(f"c-{number}", at=float(number), closed=True))
    assert [c.id for c in journal.closed_calls(100)] == ["c-9", "c-8", "c-7"]
    assert [c.id for c in journal.open_calls()] == ["c-open"]


def test_closed_sessions_are_pruned_too_and_open_ones_are_not(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_PRUNE_EVERY", 10)
    for number in range(9):
        session = replace(SESSION, id=SessionId(f"s-{number}"))
        journal.put_session(session, is_open=number == 0)
    journal.put_session(replace(SESSION, id=SessionId("s-1")), is_open=False)
    rows = journal._db.execute("SELECT id FROM session").fetchall()
    assert {row[0] for row in rows} == {"s-0", "s-1", "s-7", "s-8"}


def test_a_journal_that_keeps_nothing_forgets_all_closed_calls(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_PRUNE_EVERY", 2)
    made = Journal(path, keep=0)
    made.put_call(call("c-1", closed=True))
    made.put_call(call("c-2"))
    assert made.closed_calls(5) == []
    assert [c.id for c in made.open_calls()] == ["c-2"]
    made.close()


def test_leases_and_what_the_engine_was_told_survive(path: Path, journal: Journal) -> None:
    wish = GpuWish(8 << 30, 4 << 30, "GPU-0", 60.0, 5.0, True, OnDeny.CPU, ProgramId("p"))
    held = Lease(
        LeaseId("g-1"), SessionId("s"), CallId("c"), wish, LeaseState.ACTIVE, 1.5, 3, "GPU-0",
        8 << 30, None, GuardKind.UPROBE, 2.5, 62.5, 7, None, "why",
    )  # fmt: skip
    assert journal.limit() is None
    journal.put_lease(held)
    journal.put_lease(replace(held, id=LeaseId("g-2")))
    journal.drop_lease(replace(held, id=LeaseId("g-2")))
    assert journal.put_limit(EngineLimit(7, 50, 30))
    assert journal.put_limit(EngineLimit(8, 50, 40))
    again = Journal(path, keep=3)
    assert again.open_leases() == [held]
    assert again.limit() == EngineLimit(8, 50, 40)
    again.close()
