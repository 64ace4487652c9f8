"""What the store has, read back: files and what is not yet in one, in order. Blocks."""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from agentcg.model.event import Event
from agentcg.model.ids import SessionId
from agentcg.model.sample import Sample
from agentcg.model.trace import Account, Recorded
from agentcg.telemetry import codec, dayfile, shelf
from agentcg.telemetry.dayfile import Chunk, OtherVersionError, Row, Span
from agentcg.telemetry.store import Store

log = logging.getLogger(__name__)
T = TypeVar("T", bound=Row | Recorded)

# Bounds of one answer: what is gone through takes a second or so, never more.
SAMPLES = 50_000
EVENTS = 1000
ACCOUNTS = 100_000
# After so many samples, or rows, the event loop is let have its turn.
_STRETCH = 256
_PAUSE = 0.001
# Behind every call's id.
LAST = "~"


def samples(store: Store, session: str, call: str, span: Span) -> tuple[list[Sample], bool]:
    """The samples of a call, or (call "") of a session itself; and whether older ones are cut off.

    In the order of the clock within a boot, boots in the order in which they were recorded: so
    whatever is done to the time of day, nothing changes places.
    """
    store.settle()
    rows, pending = store.unwritten(session, call)
    waiting = [
        row for row in rows if isinstance(row, Chunk) and (row.session, row.call) == (session, call)
    ]
    found, cut = _newest(store, lambda db: dayfile.chunks(db, session, call, span), SAMPLES)
    known = {(one.boot, one.clock) for one in found}
    found = [one for one in waiting[::-1] if (one.boot, one.clock) not in known] + found
    boots: dict[str, list[Sample]] = {}
    for one in paced(found[::-1]):
        boots.setdefault(one.boot, []).extend(decoded(one))
    # What was pending may have been written between the two looks.
    mine = boots.setdefault(store.rules.boot, [])
    seen = {_name(sample) for sample in mine} if pending else frozenset()
    mine += [sample for sample in pending if _name(sample) not in seen]
    taken = _on_one_clock(boots.values())
    return [s for s in taken if span.since <= s.at <= span.until], cut


def events(store: Store, session: str, call: str | None, span: Span) -> list[Event]:
    """The newest events of a call, or (None) of a session with all its calls; oldest first.

    Those of a session itself are under the call "", those of no session under the session "".
    """
    rows, _ = store.unwritten(session, call or "")
    found, _ = _newest(store, lambda db: dayfile.events(db, session, call, span), EVENTS)
    known = {(one.at, one.seq) for one in found}
    found += [
        row
        for row in rows
        if isinstance(row, Event)
        and (row.session or "") == session
        and (call is None or (row.call or "") == call)
        and (row.at, row.seq) not in known
        and span.since <= row.at <= span.until
    ]
    return sorted(found, key=lambda one: (one.at, one.seq))[-EVENTS:]


def accounts(
    store: Store,
    session: str | None,
    kind: str | None,
    span: Span,
    most: int = ACCOUNTS,
    *,
    before: str = LAST,
) -> list[Account]:
    """Closed calls of a session and a class (None: of all), newest first.

    Of those declared at the very end of the time only the ones whose ids come before `before`.
    """
    store.settle()
    rows, _ = store.unwritten("", "")
    found = {
        row.call: row
        for row in rows
        if isinstance(row, Account)
        and session in (None, row.session)
        and kind in (None, row.kind)
        and span.since <= row.declared_at <= span.until
        and (row.declared_at < span.until or row.call < before)
    }
    for path in _files(store):
        # A call is in the file of the day on which it closed: each may have some of the newest.
        with _left_out(store, path), dayfile.reading(path) as db:
            newest = dayfile.accounts(db, session, kind, span, before=before)
            for row in paced(islice(newest, most)):
                # What was written last of a call holds.
                found.setdefault(row.call, row)
        if len(found) >= most:
            kept = _newest_first(found.values())[:most]
            found = {one.call: one for one in kept}
            span = Span(kept[-1].declared_at, span.until)
    return _newest_first(found.values())[:most]


def account(store: Store, call: str) -> Account | None:
    """What is known of a closed call."""
    store.settle()
    rows, _ = store.unwritten("", "")
    for row in reversed(rows):
        if isinstance(row, Account) and row.call == call:
            return row
    for path in _files(store):
        with _left_out(store, path), dayfile.reading(path) as db:
            for found in dayfile.account(db, call):
                return found
    return None


def _newest_first(found: Iterable[Account]) -> list[Account]:
    return sorted(found, key=lambda one: (one.declared_at, one.call), reverse=True)


def recorded(store: Store, session: str | None, span: Span) -> list[Recorded]:
    """The session, or (None) all of which something was recorded in a time, by name."""
    store.settle()
    found: dict[str, Recorded] = {}

    def add(one: Recorded) -> None:
        old = found.get(one.session, one)
        since, until = min(old.since, one.since), max(old.until, one.until)
        found[one.session] = Recorded(one.session, since, until)

    for one in list(_not_in_files(store)):
        if session in (None, one.session) and one.until >= span.since and one.since <= span.until:
            add(one)
    for path in _files(store):
        with _left_out(store, path), dayfile.reading(path) as db:
            for one in paced(dayfile.recorded(db, session, span)):
                add(one)
    return [found[name] for name in sorted(found)]


def _not_in_files(store: Store) -> Iterator[Recorded]:
    """Samples of sessions first: they become rows, and those go into files."""
    _, held = store.everything()
    rows, _ = store.unwritten("", "")
    for (name, call), samples in held.items():
        if not call:
            times = [sample.at for sample in samples]
            yield Recorded(SessionId(name), min(times), max(times))
    for row in rows:
        if isinstance(row, Chunk | Event) and row.session:
            until = row.at + (row.span if isinstance(row, Chunk) else 0.0)
            yield Recorded(SessionId(row.session), row.at, until)


def _name(sample: Sample) -> tuple[int, object]:
    return round(sample.clock * 1000), sample.usage


def _on_one_clock(boots: Iterable[list[Sample]]) -> list[Sample]:
    """Samples of several boots one behind the other; of earlier ones the clock is reckoned back."""
    joined: list[Sample] = []
    for one in reversed(list(boots)):
        one.sort(key=attrgetter("clock"))
        if joined and one:
            # As long before as the time of day says; if that was put back, just before.
            gap = max(0.001, joined[0].at - one[-1].at)
            shift = joined[0].clock - gap - one[-1].clock
            one = [replace(sample, clock=sample.clock + shift) for sample in one]
        joined = one + joined
    return joined


def decoded(chunk: Chunk) -> list[Sample]:
    """Its samples; of a damaged one none."""
    try:
        return list(codec.decode(chunk.data, at=chunk.at, clock=chunk.clock))
    except ValueError as e:
        log.warning("traces: a chunk of %s/%s is left out: %s", chunk.session, chunk.call, e)
        return []


def _newest(
    store: Store, ask: Callable[[sqlite3.Connection], Iterator[T]], most: int
) -> tuple[list[T], bool]:
    """Ask the files, newest first, until there is enough; and whether that left anything out.

    What cannot be read is left out, and looked at.
    """
    found: list[T] = []
    total = 0
    for path in _files(store):
        with _left_out(store, path), dayfile.reading(path) as db:
            for row in paced(ask(db)):
                total += _weight(row)
                if total > most:
                    return found, True
                found.append(row)
        if total >= most:
            return found, True
    return found, False


def _files(store: Store) -> list[Path]:
    """The newest first."""
    return [file.path for file in reversed(shelf.kept(store.rules.folder)) if file.whole]


@contextlib.contextmanager
def _left_out(store: Store, path: Path) -> Iterator[None]:
    """Go on without a file that cannot be read, and have it looked at."""
    try:
        yield
    except OtherVersionError:
        pass
    except sqlite3.Error as e:
        if dayfile.is_damage(e):
            store.suspect(path)
        log.warning("%s: left out of an answer: %s", path, e)


def paced(rows: Iterable[T]) -> Iterator[T]:
    """Rows, with a rest after each stretch: what holds the interpreter holds the event loop."""
    gone = 0
    for row in rows:
        yield row
        gone += _weight(row)
        if gone >= _STRETCH:
            gone = 0
            time.sleep(_PAUSE)


def _weight(row: Row | Recorded) -> int:
    return max(1, row.samples) if isinstance(row, Chunk) else 1
