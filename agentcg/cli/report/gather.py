"""What a report is made of, asked of the daemon. What goes meanwhile is left out and told."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from agentcg.cli import past, pieces
from agentcg.cli.pieces import Course
from agentcg.errors import NotFoundError
from agentcg.intent.kinds import kind_of
from agentcg.model.call import Call
from agentcg.model.outcome import Cause
from agentcg.model.session import Session
from agentcg.model.trace import Account, Recorded, Trace, Window

if TYPE_CHECKING:
    from agentcg.client import Client

# Of a day so many sessions have plots of their own; in the figures are all.
SECTIONS = 12
# Calls that are drawn by themselves, of the session that is reported and of each in a day.
DRAWN, DRAWN_OF_DAY = 12, 3
_CALL_POINTS = 500
# Calls whose command and advice are asked for.
TOLD = 60
BY_ITSELF = frozenset({Cause.EXITED, Cause.UNKNOWN, Cause.NEVER_STARTED})


@dataclass(frozen=True, slots=True)
class Bar:
    """A call's place in time; `cause` None: it is open."""

    call: str
    kind: str
    begin: float
    end: float
    cause: Cause | None
    peak: int | None


@dataclass(frozen=True, slots=True)
class Section:
    """A session that is drawn."""

    session: str
    begin: float
    end: float
    open: bool
    course: Course
    bars: Sequence[Bar]
    calls: Sequence[Trace]


@dataclass(slots=True)
class Material:
    """All of a report. `records` are of calls that are drawn, or did not end by themselves."""

    title: str
    since: float
    until: float
    made: float
    accounts: list[Account] = field(default_factory=list)
    sessions: list[Recorded] = field(default_factory=list)
    open_calls: list[Call] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    records: dict[str, Call] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def of_session(daemon: "Client", name: str) -> Material:
    """A session, open or closed, as far back as it is remembered.

    Raises:
        NotFoundError: nothing of it is.
    """
    now = time.time()
    if name == "self":
        name = daemon.session(name).session.id
    found = past.sessions(daemon, 0.0, past.EVER, name)
    opened: dict[str, Session] = {v.session.id: v.session for v in daemon.sessions()}
    if not found and name not in opened:
        raise NotFoundError(
            f"session {name[:80]!r}: not open, and nothing is remembered of it; a day's report "
            f"(`agentcg report today`) names those of which there is something"
        )
    since = min([one.since for one in found] or [opened[name].created_at])
    until = max([one.until for one in found] + ([now] if name in opened else []))
    made = Material(f"session {name}", since, until, now, sessions=found)
    _calls(daemon, made, 0.0, past.EVER, name)
    _section(daemon, made, name, DRAWN, is_open=name in opened)
    _records(daemon, made)
    return made


def of_day(daemon: "Client", day: str, since: float, until: float) -> Material:
    """All sessions of a day of which something is remembered, and the calls declared in it."""
    now = time.time()
    made = Material(f"day {day}", since, until, now)
    _calls(daemon, made, since, until, None)
    opened: dict[str, Session] = {}
    if since <= now <= until:
        opened = {v.session.id: v.session for v in daemon.sessions()}
    # A session of which nothing but calls is remembered was there while these were.
    known: dict[str, Recorded] = {}
    for call in made.accounts:
        bar = _bar(call)
        old = known.get(call.session, Recorded(call.session, bar.begin, bar.end))
        begin, end = min(old.since, bar.begin), max(old.until, bar.end)
        known[call.session] = Recorded(call.session, begin, end)
    known |= {one.session: one for one in past.sessions(daemon, since, until, None)}
    for name, record in opened.items():
        old = known.get(name, Recorded(record.id, max(since, record.created_at), now))
        known[name] = replace(old, until=max(old.until, now))
    made.sessions = [
        replace(one, since=max(since, one.since), until=min(until, one.until))
        for _, one in sorted(known.items())
    ]
    for name in _foremost(made):
        _section(daemon, made, name, DRAWN_OF_DAY, is_open=name in opened)
    _records(daemon, made)
    return made


def _calls(
    daemon: "Client", made: Material, since: float, until: float, session: str | None
) -> None:
    """Calls declared in a time. The open ones first: what closes meanwhile is in both then."""
    opened = [view.call for view in daemon.calls()]
    made.accounts = past.accounts(daemon, since, until, session)
    closed = {one.call for one in made.accounts}
    made.open_calls = [
        one
        for one in opened
        if one.id not in closed
        and session in (None, one.session)
        and since <= one.declared_at <= until
    ]


def _foremost(made: Material) -> list[str]:
    """The sessions to draw: those with calls that were killed first, then with the most calls."""
    weight: dict[str, list[int]] = {one.session: [0, 0] for one in made.sessions}
    for one in made.accounts:
        weight[one.session][0] += one.cause not in BY_ITSELF
        weight[one.session][1] += 1
    return sorted(weight, key=lambda name: ([-n for n in weight[name]], name))[:SECTIONS]


def _section(daemon: "Client", made: Material, name: str, drawn: int, *, is_open: bool) -> None:
    mine = next((one for one in made.sessions if one.session == name), None)
    begin, end = (made.since, made.until) if mine is None else (mine.since, mine.until)
    if is_open:
        end = min(made.until, max(end, made.made))
    try:
        course = pieces.course(partial(daemon.session_trace, name), begin, end, thin=True)
    except NotFoundError:
        course = Course()
        made.notes.append(f"session {name}: its samples are not remembered any more")
    if not course.whole:
        made.notes.append(f"session {name}: {pieces.LEFT_OUT}")
    bars = [_bar(one) for one in made.accounts if one.session == name]
    bars += [_open_bar(one, made.made) for one in made.open_calls if one.session == name]
    calls = list(_largest(daemon, made, bars, drawn))
    made.sections.append(Section(name, begin, end, is_open, course, bars, calls))


def _bar(one: Account) -> Bar:
    end = one.declared_at + max(0.0, one.wall or 0.0)
    return Bar(one.call, one.kind, one.declared_at, end, one.cause, one.peak)


def _open_bar(one: Call, now: float) -> Bar:
    kind = kind_of(one.intent.command, one.intent.tool)
    return Bar(one.id, kind, one.declared_at, max(now, one.declared_at), None, None)


def _largest(daemon: "Client", made: Material, bars: Iterable[Bar], most: int) -> Iterable[Trace]:
    """The courses of the calls with the highest peaks."""
    known = [bar for bar in bars if bar.peak]
    for bar in sorted(known, key=lambda one: (-(one.peak or 0), one.call))[:most]:
        try:
            found = past.patiently(
                partial(daemon.call_trace, bar.call, Window(points=_CALL_POINTS))
            )
        except NotFoundError:
            made.notes.append(f"call {bar.call}: its course is not remembered any more")
            continue
        if found.samples:
            yield found


def _records(daemon: "Client", made: Material) -> None:
    """The words of calls that did not end by themselves, as far as they are remembered."""
    if len(made.accounts) >= past.MOST:
        made.notes.append(f"more than {past.MOST} calls: the oldest are left out of all figures")
    # It grows while it is read.
    lost = max((section.course.lost for section in made.sections), default=0)
    if lost:
        made.notes.append(f"{lost} samples could not be recorded since the daemon started")
    for section in made.sections:
        made.records |= {t.call.id: t.call for t in section.calls if t.call is not None}
    ended = [one for one in made.accounts if one.cause not in BY_ITSELF][:TOLD]
    for one in ended:
        if one.call not in made.records:
            try:
                made.records[one.call] = daemon.call(one.call).call
            except NotFoundError:
                made.notes.append(f"call {one.call}: its words are not remembered any more")
