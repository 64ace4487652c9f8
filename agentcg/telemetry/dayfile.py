"""One file of the store: SQLite in WAL mode, which survives the death of process and power.

Samples are in chunks (agentcg.telemetry.codec), one row for some seconds of a call; a row a sample
would be ten times as much. A commit is not synced: a power loss takes what the kernel had not yet
written to the disk, half a minute as a rule, and leaves a sound file.
"""

import contextlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from agentcg.model.event import Event
from agentcg.model.trace import Account, Recorded

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION = 1
_SCHEMA = f"""
CREATE TABLE subject (
    id INTEGER PRIMARY KEY, session TEXT NOT NULL, call TEXT NOT NULL, UNIQUE (session, call));
CREATE TABLE chunk (
    subject INTEGER NOT NULL, boot TEXT NOT NULL, clock REAL NOT NULL, at REAL NOT NULL,
    span REAL NOT NULL, samples INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX chunk_subject ON chunk (subject);
CREATE TABLE event (
    subject INTEGER NOT NULL, at REAL NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX event_subject ON event (subject);
CREATE TABLE account (
    call TEXT PRIMARY KEY, session TEXT NOT NULL, kind TEXT NOT NULL, declared_at REAL NOT NULL,
    cause TEXT NOT NULL, wall REAL, cpu REAL, peak INTEGER, throttled REAL, held REAL,
    oom_kills INTEGER, asked_limit INTEGER, asked_guarantee INTEGER, lim INTEGER,
    guarantee INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True)
class Span:
    """A time, Unix seconds, both ends included."""

    since: float
    until: float


class OtherVersionError(Exception):
    """The file is of another release."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some samples of one subject, packed; `call` is "" for a session's own."""

    session: str
    call: str
    boot: str
    clock: float
    at: float
    span: float
    samples: int
    data: bytes


Row = Chunk | Event | Account


class DayFile:
    """A file that is written, by one thread. sqlite3.Error is for the caller to deal with."""

    def __init__(self, path: Path, *, check: bool = True) -> None:
        """Open or make it; `check` looks for damage, which reads all of it.

        Raises:
            OtherVersionError: it is of another release, and stays as it is.
            sqlite3.Error: the disk, or it is damaged.
        """
        self.path = path
        self._subjects: dict[tuple[str, str], int] = {}
        self._db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(check=check)
        except BaseException:
            self._db.close()
            raise
        self._inode = path.stat().st_ino

    @property
    def gone(self) -> bool:
        """Whether somebody has deleted it: what is written goes nowhere then."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _prepare(self, *, check: bool) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            # All or nothing: a file without its version would be made again over what is there.
            self._db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        elif version != VERSION:
            raise OtherVersionError
        elif check and (found := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            damage = sqlite3.DatabaseError(found)
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage

    def write(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Add rows, all or none, but for those that fit in no file: these are returned."""
        unfit: list[Row] = []
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                try:
                    self._add(row)
                except Exception as e:
                    if isinstance(e, sqlite3.OperationalError) or is_damage(e):
                        raise
                    log.exception("traces: a row of session %s cannot be written", row.session)
                    unfit.append(row)
            self._db.execute("COMMIT")
        except BaseException:
            self._subjects.clear()
            with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled it back already
                self._db.execute("ROLLBACK")
            raise
        return unfit

    def _add(self, row: Row) -> None:
        match row:
            case Chunk():
                key = self._subject(row.session, row.call)
                values = (key, row.boot, row.clock, row.at, row.span, row.samples, row.data)
                self._db.execute("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            case Event():
                key = self._subject(row.session or "", row.call or "")
                data = json.dumps(dict(row.data)) if row.data else ""
                told = (key, row.at, row.seq, row.kind.value, row.text, data)
                self._db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", told)
            case Account():
                marks = ", ".join("?" * 15)
                sql = f"INSERT OR REPLACE INTO account VALUES ({marks})"  # noqa: S608 - only marks
                self._db.execute(sql, astuple(row))

    def _subject(self, session: str, call: str) -> int:
        found = self._subjects.get((session, call))
        if found is None:
            key = (session, call)
            self._db.execute("INSERT OR IGNORE INTO subject (session, call) VALUES (?, ?)", key)
            sql = "SELECT id FROM subject WHERE session = ? AND call = ?"
            (found,) = self._db.execute(sql, key).fetchone()
            self._subjects[key] = int(found)
        return int(found)

    def close(self) -> None:
        """Close it; what is in its log goes to the file."""
        self._db.close()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, for one query.

    Raises:
        OtherVersionError: it is of another release.
        sqlite3.Error: it is damaged, or gone.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise OtherVersionError
        yield db
    finally:
        db.close()


def chunks(db: sqlite3.Connection, session: str, call: str, span: Span) -> Iterator[Chunk]:
    """Chunks of one subject that touch a time, newest first."""
    sql = (
        "SELECT ?, ?, boot, clock, at, span, samples, data FROM chunk WHERE subject = "
        "(SELECT id FROM subject WHERE session = ? AND call = ?) AND at + span >= ? AND at <= ? "
        "ORDER BY rowid DESC"
    )
    found = db.execute(sql, (session, call, session, call, span.since, span.until))
    return _sound(found, _chunk)


def chunks_about(db: sqlite3.Connection, spans: Sequence[Span]) -> Iterator[Chunk]:
    """Chunks of all subjects that touch one of some times, newest first. Looks at every one."""
    touches = " OR ".join("(at <= ? AND at + span >= ?)" for _ in spans)
    sql = (
        "SELECT session, call, boot, clock, at, span, samples, data "  # noqa: S608 - only marks
        f"FROM chunk JOIN subject ON subject = id WHERE {touches} ORDER BY chunk.rowid DESC"
    )
    found = db.execute(sql, [bound for one in spans for bound in (one.until, one.since)])
    return _sound(found, _chunk)


# No query has a LIMIT: it would count damaged rows, and a short answer mean nothing.


def events(db: sqlite3.Connection, session: str, call: str | None, span: Span) -> Iterator[Event]:
    """Events of a call, or of a session with all its calls; newest first."""
    sql = (
        "SELECT seq, at, kind, NULLIF(session, ''), NULLIF(call, ''), text, data "
        "FROM event JOIN subject ON subject = id "
        "WHERE session = ? AND (? IS NULL OR call = ?) AND at BETWEEN ? AND ? "
        "ORDER BY event.rowid DESC"
    )
    found = db.execute(sql, (session, call, call, span.since, span.until))
    return _sound(found, _event)


def accounts(
    db: sqlite3.Connection, session: str | None, kind: str | None, span: Span, *, before: str
) -> Iterator[Account]:
    """Closed calls that were declared in a time; newest first.

    Of those declared at its very end only the ones whose ids come before `before`.
    """
    sql = (
        "SELECT * FROM account WHERE (? IS NULL OR session = ?) AND (? IS NULL OR kind = ?) "
        "AND declared_at BETWEEN ? AND ? AND (declared_at < ? OR call < ?) "
        "ORDER BY declared_at DESC, call DESC"
    )
    since, until = span.since, span.until
    values = (session, session, kind, kind, since, until, until, before)
    return _sound(db.execute(sql, values), _account)


def account(db: sqlite3.Connection, call: str) -> Iterator[Account]:
    """That of one closed call, if it is there."""
    return _sound(db.execute("SELECT * FROM account WHERE call = ?", (call,)), _account)


def recorded(db: sqlite3.Connection, session: str | None, span: Span) -> Iterator[Recorded]:
    """Sessions of which there are own samples or events in a time, and from when to when."""
    # The few subjects that are sessions first, then the rows of each by the index. What is of no
    # session is under the name "".
    sql = (
        "WITH own AS (SELECT id, session FROM subject WHERE call = '' AND session <> '' "
        "AND (?1 IS NULL OR session = ?1)) "
        "SELECT session, MIN(a), MAX(b) FROM ("
        "SELECT session, at AS a, at + span AS b FROM own CROSS JOIN chunk ON subject = id "
        "WHERE at + span >= ?2 AND at <= ?3 UNION ALL "
        "SELECT session, at, at FROM own CROSS JOIN event ON subject = id "
        "WHERE at BETWEEN ?2 AND ?3) GROUP BY session"
    )
    return _sound(db.execute(sql, (session, span.since, span.until)), _recorded)


def _sound(rows: Iterable[Sequence[Any]], make: Callable[[Sequence[Any]], T]) -> Iterator[T]:
    """What the rows stand for, but for damaged ones: SQLite has no checksum of them."""
    told = False
    for row in rows:
        try:
            one = make(row)
        except (ValueError, TypeError) as e:
            if not told:
                log.warning("traces: rows are left out, such as one with %s", ascii(str(e)))
            told = True
        else:
            yield one


def _maker(kind: type[T]) -> Callable[[Sequence[Any]], T]:
    """What makes records of rows that have their fields in order."""
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return lambda row: adapter.validate_python(dict(zip(names, row, strict=True)))


_chunk, _account, _event_of = _maker(Chunk), _maker(Account), _maker(Event)
_recorded = _maker(Recorded)


def _event(row: Sequence[Any]) -> Event:
    *told, data = row
    return _event_of((*told, json.loads(data) if data else {}))


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is damaged, and not the disk full."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT
