"""What must survive the daemon: a row per session, call and lease, written before the deed.

SQLite in WAL mode keeps every committed row over `kill -9`; after a reboot the cgroups are gone
and only closed calls matter, so a lost last second is no loss and fsync can wait.
A disk that is full must not stop an agent: the write fails, is counted and said, and goes on.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from agentcg.errors import UnavailableError
from agentcg.model.call import Call, CallState
from agentcg.model.gpu import EngineLimit, Lease
from agentcg.model.session import Session

log = logging.getLogger(__name__)
T = TypeVar("T")

_CALL = TypeAdapter(Call)
_SESSION = TypeAdapter(Session)
_LEASE = TypeAdapter(Lease)
_LIMIT = TypeAdapter(EngineLimit)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, open INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS call (
    id TEXT PRIMARY KEY, session TEXT NOT NULL, key TEXT, open INTEGER NOT NULL,
    declared_at REAL NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS call_open ON call (open, declared_at);
CREATE INDEX IF NOT EXISTS call_key ON call (session, key) WHERE key IS NOT NULL;
CREATE TABLE IF NOT EXISTS lease (id TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS engine (id INTEGER PRIMARY KEY CHECK (id = 0), record BLOB NOT NULL);
PRAGMA user_version = 1;
"""
_PRUNE_EVERY = 512
_PRUNE = (
    "DELETE FROM call WHERE open = 0 AND id NOT IN "
    "(SELECT id FROM call WHERE open = 0 ORDER BY declared_at DESC LIMIT ?)",
    # A session's row is new, with the highest rowid, when it is written as closed.
    "DELETE FROM session WHERE open = 0 AND rowid NOT IN "
    "(SELECT rowid FROM session WHERE open = 0 ORDER BY rowid DESC LIMIT ?)",
)
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Journal:
    """The daemon's memory on disk. One thread uses it, that of the event loop."""

    def __init__(self, path: Path, *, keep: int) -> None:
        self._path = path
        self._keep = keep
        self._writes = 0
        self.failed_writes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _open(path)
        except (OSError, sqlite3.Error) as e:
            raise UnavailableError(
                f"{path}: the journal cannot be opened ({e}); free the disk or move the file away"
            ) from e

    def close(self) -> None:
        """Close the file; its last pages are checkpointed."""
        self._db.close()

    def put_session(self, session: Session, *, is_open: bool) -> None:
        """Write a session's record."""
        self._put(
            "INSERT OR REPLACE INTO session VALUES (?, ?, ?)",
            (session.id, is_open, _SESSION.dump_json(session)),
        )

    def put_call(self, call: Call) -> None:
        """Write a call's record."""
        self._put(
            "INSERT OR REPLACE INTO call VALUES (?, ?, ?, ?, ?, ?)",
            (
                call.id,
                call.session,
                call.intent.key,
                call.state is not CallState.CLOSED,
                call.declared_at,
                _CALL.dump_json(call),
            ),
        )

    def put_lease(self, lease: Lease) -> bool:
        """Write the record of a lease that holds memory; False where it could not be."""
        return self._put(
            "INSERT OR REPLACE INTO lease VALUES (?, ?)", (lease.id, _LEASE.dump_json(lease))
        )

    def drop_lease(self, lease: Lease) -> None:
        """Forget a lease: its memory is free."""
        self._put("DELETE FROM lease WHERE id = ?", (lease.id,))

    def open_leases(self) -> list[Lease]:
        """Leases that held memory when the daemon last wrote."""
        return self._read(_LEASE, "SELECT record FROM lease")

    def put_limit(self, limit: EngineLimit) -> bool:
        """Write what the engine is about to be told; False where it could not be."""
        return self._put("INSERT OR REPLACE INTO engine VALUES (0, ?)", (_LIMIT.dump_json(limit),))

    def limit(self) -> EngineLimit | None:
        """What the engine was told last; None where it never was."""
        return self._one(_LIMIT, "SELECT record FROM engine", ())

    def open_sessions(self) -> list[Session]:
        """Sessions that were open when the daemon last wrote."""
        return self._read(_SESSION, "SELECT record FROM session WHERE open = 1")

    def open_calls(self) -> list[Call]:
        """Calls that were open when the daemon last wrote, oldest first."""
        return self._read(_CALL, "SELECT record FROM call WHERE open = 1 ORDER BY declared_at")

    def session(self, session_id: str) -> Session | None:
        """The last session of that id, if it is still remembered."""
        return self._one(_SESSION, "SELECT record FROM session WHERE id = ?", (session_id,))

    def call(self, call_id: str) -> Call | None:
        """Any call that is still remembered."""
        return self._one(_CALL, "SELECT record FROM call WHERE id = ?", (call_id,))

    def call_by_key(self, session: str, key: str) -> Call | None:
        """The last call that a session declared under the harness's own id `key`."""
        return self._one(
            _CALL,
            "SELECT record FROM call WHERE session = ? AND key = ? "
            "ORDER BY declared_at DESC LIMIT 1",
            (session, key),
        )

    def closed_calls(self, limit: int) -> list[Call]:
        """The last closed calls, newest first."""
        return self._read(
            _CALL,
            "SELECT record FROM call WHERE open = 0 ORDER BY declared_at DESC LIMIT ?",
            (limit,),
        )

    def _one(self, adapter: TypeAdapter[T], sql: str, values: tuple[str, ...]) -> T | None:
        return next(iter(self._read(adapter, sql, values)), None)

    def _read(
        self, adapter: TypeAdapter[T], sql: str, values: tuple[str | int, ...] = ()
    ) -> list[T]:
        try:
            rows = self._db.execute(sql, values).fetchall()
        except sqlite3.Error as e:
            # Not an empty answer: what no record knows is cleared away at the next start.
            raise UnavailableError(
                f"{self._path}: reading failed ({e}); look at the disk, or move the file away"
            ) from e
        return list(self._readable(adapter, rows))

    def _readable(self, adapter: TypeAdapter[T], rows: Iterable[tuple[bytes]]) -> Iterator[T]:
        for (record,) in rows:
            try:
                yield adapter.validate_json(record)
            except ValidationError as e:
                # Of another release, or damaged: it must not keep the daemon from starting.
                log.error("%s: a record is left out: %s", self._path, e)  # noqa: TRY400

    def _put(self, sql: str, values: tuple[object, ...]) -> bool:
        """Write a record; now and then forget the oldest closed ones."""
        written = self._write(sql, values)
        self._writes += 1
        if self._writes % _PRUNE_EVERY == 0:
            for prune in _PRUNE:
                self._write(prune, (self._keep,))
        return written

    def _write(self, sql: str, values: tuple[object, ...]) -> bool:
        try:
            with self._db:
                self._db.execute(sql, values)
        except sqlite3.Error as e:
            self.failed_writes += 1
            log.error("%s: writing failed (%s); free the disk, the daemon goes on", self._path, e)  # noqa: TRY400 - a traceback tells nothing more
            return False
        return True


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_SCHEMA)
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as e:
        db.close()
        if e.sqlite_errorcode & 0xFF not in _CORRUPT:
            raise
        found = str(e)
    if found == "ok":
        return db
    # A corrupt journal must not keep the daemon down: put it aside and start a new one.
    db.close()
    _put_aside(path)
    log.error("%s: is corrupt (%s), kept as %s; a new one is begun", path, found, _aside(path))
    return _open(path)


def _aside(path: Path) -> Path:
    return path.with_suffix(".corrupt")


def _put_aside(path: Path) -> None:
    """Move the file away with its log: an old log must not be applied to a new file."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(_aside(path).with_name(_aside(path).name + suffix))
