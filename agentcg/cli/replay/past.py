"""A recording in memory: what there was at any moment of it, as the daemon would have told."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from agentcg.cli.recording.lines import MOST_SECONDS, Course, Head, Record
from agentcg.cli.replay.track import Track, track_of
from agentcg.cli.top.board import PAST, Reading
from agentcg.errors import BadValueError
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.ids import SessionId
from agentcg.model.sample import Sample
from agentcg.model.session import Runtime, Session
from agentcg.model.trace import Trace
from agentcg.model.view import CallView, SessionView
from agentcg.policy.thinning import thinned
from agentcg.telemetry.machine import Machine

MOST = 500_000  # records and samples, which take half a GiB
_POINTS = 500
_TURNS = {Kind.CALL_FROZEN: CallState.FROZEN, Kind.CALL_THAWED: CallState.RUNNING}


@dataclass(slots=True)
class Past:
    """Records by what they are of; events in the order of the time of day."""

    head: Head
    sessions: dict[str, SessionView] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    tracks: dict[tuple[str, str | None], Track] = field(default_factory=dict)
    limits: dict[str, int | None] = field(default_factory=dict)  # of sessions
    events: list[Event] = field(default_factory=list)
    _times: list[float] = field(default_factory=list)
    _turns: dict[str, list[Event]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Take in what is no sample."""
        match record:
            case SessionView():
                self.sessions[record.session.id] = record
            case Call():
                self.calls[record.id] = record
            case Event():
                self.events.append(record)
            case _:
                pass

    def order(self) -> None:
        """All is there: make it ready to be asked."""
        self.events.sort(key=lambda event: event.at)
        self._times = [event.at for event in self.events]
        for event in self.events:
            if event.call is not None and event.kind in _TURNS:
                self._turns.setdefault(event.call, []).append(event)

    def told(self, since: float, until: float) -> Sequence[Event]:
        """The events after `since` up to `until`."""
        return self.events[bisect_right(self._times, since) : bisect_right(self._times, until)]

    def reading(self, at: float) -> Reading:
        """What the daemon would have answered then; the machine's figures are of its sessions."""
        calls = tuple(self._call(call, at) for call in self.calls.values() if _lives(call, at))
        counts: dict[str, int] = {}
        for view in calls:
            counts[view.call.session] = counts.get(view.call.session, 0) + 1
        sessions = tuple(self._session(name, counts, at) for name in self._open(counts, at))
        cpu = sum(self._track(v.call.session, v.call.id).cpu(at) for v in calls)
        host = self.head.host
        used = sum(view.memory or 0 for view in sessions)
        machine = Machine(used, host.memory_total, cpu, host.cpus)
        return Reading(at, at, host, machine, sessions, calls)

    def trace(self, session: str, call: str | None, at: float) -> Trace:
        """The course of a call so far, or of a session in the last minute."""
        record = self.calls.get(call or "")
        track = self._track(session, call)
        taken = track.until(at, at - PAST if call is None else -math.inf)
        told = self.told(-math.inf if call else at - PAST, at)
        events = [e for e in told if e.session == session and call in (None, e.call)]
        grant = None if record is None else record.grant
        return Trace(
            SessionId(session),
            None if record is None else _then(record, at, record.state),
            self.limits.get(session) if grant is None else grant.memory_limit,
            0 if grant is None else grant.memory_guarantee,
            tuple(thinned(taken, _POINTS)),
            tuple(events),
            len(taken),
        )

    def _track(self, session: str, call: str | None) -> Track:
        return self.tracks.get((session, call), _EMPTY)

    def _call(self, call: Call, at: float) -> CallView:
        state = CallState.RUNNING
        for event in self._turns.get(call.id, ()):
            if event.at <= at:
                state = _TURNS[event.kind]
        return CallView(_then(call, at, state), self._track(call.session, call.id).counters(at))

    def _open(self, counts: Iterable[str], at: float) -> list[str]:
        """Those that have calls or are read then, and those that are open still."""
        known = {name for name, view in self.sessions.items() if view.session.created_at <= at}
        read = {
            session
            for (session, call), track in self.tracks.items()
            if call is None and track.times and track.times[0] <= at <= track.times[-1]
        }
        return sorted(known | read | set(counts))

    def _session(self, name: str, counts: dict[str, int], at: float) -> SessionView:
        view = self.sessions.get(name)
        if view is None:
            # Closed before it was recorded, so only its id and limit are known.
            record = Session(SessionId(name), Runtime.BARE, "", 0)
            view = SessionView(record, 0, limit=self.limits.get(name))
        memory = self._track(name, None).counters(at).memory
        return replace(view, open_calls=counts.get(name, 0), memory=memory)


_EMPTY = track_of(())


def load(name: str, records: Iterable[Record]) -> Past:
    """Take in a recording; `name` is for errors.

    Raises:
        BadValueError: it is too large, or a time in it cannot be one.
    """
    rest = iter(records)
    head = next(rest, None)
    if not isinstance(head, Head) or head.until <= head.since:
        raise BadValueError(f"{name}: it is of no time; record it again")
    _check_times(name, head)
    past, count = Past(head), 0
    samples: dict[tuple[str, str | None], list[Sample]] = {}
    for record in rest:
        count += len(record.samples) if isinstance(record, Course) else 1
        if count > MOST:
            raise BadValueError(f"{name}: more than {MOST} samples; record a shorter time")
        _check_times(name, record)
        if isinstance(record, Course):
            samples.setdefault((record.session, record.call), []).extend(record.samples)
            if record.call is None:
                past.limits[record.session] = record.limit
        else:
            past.take(record)
    past.tracks = {key: track_of(found) for key, found in samples.items()}
    past.order()
    return past


def _check_times(name: str, record: Record) -> None:
    if not all(0 <= at <= MOST_SECONDS for at in _times_of(record)):
        raise BadValueError(f"{name}: a time in it is none; record it again")


def _times_of(record: Record) -> Iterator[float]:
    match record:
        case Head():
            yield from (record.since, record.until)
        case SessionView():
            yield record.session.created_at
        case Call():
            times = (record.declared_at, record.started_at, record.ended_at, record.closed_at)
            yield from (at for at in times if at is not None)
        case Event():
            yield record.at
        case Course():
            yield from (one.at for one in record.samples)


def _lives(call: Call, at: float) -> bool:
    return call.declared_at <= at and (call.closed_at is None or call.closed_at > at)


def _then(call: Call, at: float, running: CallState) -> Call:
    """The record as it was then, which did not know its end; `running` while it ran."""
    if call.closed_at is not None and call.closed_at <= at:
        return call
    if call.ended_at is not None and call.ended_at <= at:
        return replace(call, state=CallState.EXITED, closed_at=None)
    started = call.started_at is not None and call.started_at <= at
    if running not in _TURNS.values():
        running = CallState.RUNNING
    return replace(
        call,
        state=running if started else CallState.DECLARED,
        started_at=call.started_at if started else None,
        ended_at=None,
        closed_at=None,
        outcome=None,
    )
