"""What `agentcg top` knows: the last reading, what came before it, and what events told.

The daemon answers with what is now; courses over the last minute, rates and calls that are over
are remembered here.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agentcg.model.event import Event, Kind
from agentcg.model.outcome import Cause
from agentcg.model.sample import Counters
from agentcg.model.trace import Trace
from agentcg.model.view import CallView, HostView, SessionView
from agentcg.telemetry.machine import Machine

PAST = 60.0  # seconds of courses and marks
GONE = 30.0  # seconds for which a call that is over stays to be seen
_EVENTS = 200
_POINTS = 300
_RATE = 0.5  # seconds that a rate is of, at least
# A share of the time since the reading before: less is noise.
_QUOTA = 0.02


class Mark(StrEnum):
    """What befell a call, in the order of weight."""

    KILLED = "killed"
    STALLED = "stalled"
    HELD = "held"  # memory growth held up
    QUOTA = "quota"  # CPU held back by cpu.max


_MARKS = {
    Kind.CALL_OOM: Mark.KILLED,
    Kind.AGENT_OOM: Mark.KILLED,
    Kind.POOL_FULL: Mark.STALLED,
    Kind.CALL_STALLED: Mark.STALLED,
    Kind.CALL_THROTTLED: Mark.HELD,
    Kind.AGENT_THROTTLED: Mark.HELD,
    Kind.PRESSURE: Mark.HELD,
}
# Causes of `call.ended` that are not the command's own end; at `pids` it fails by itself.
_KILLS: frozenset[object] = frozenset(
    {
        Cause.OOM,
        Cause.DEADLINE,
        Cause.STALL,
        Cause.PRESSURE,
        Cause.GPU,
        Cause.REQUEST,
        Cause.ORPHANED,
    }
)
# What is listed below the table: not what the table shows by itself.
NOTABLE = frozenset(_MARKS) | {Kind.FAIL_OPEN, Kind.DAEMON, Kind.LOST, Kind.CALL_ENDED}


@dataclass(frozen=True, slots=True)
class Reading:
    """One round of questions. `clock` is monotonic, `at` the time of day."""

    clock: float
    at: float
    host: HostView
    machine: Machine
    sessions: tuple[SessionView, ...]
    calls: tuple[CallView, ...]


@dataclass(slots=True)
class Course:
    """A minute of one cgroup: (clock, bytes, CPUs in use); `quota` is a share of the time."""

    points: deque[tuple[float, int | None, float | None]] = field(
        default_factory=lambda: deque(maxlen=_POINTS)
    )
    cpu: float | None = None
    quota: float = 0.0
    _since: tuple[float, Counters] | None = None

    def read(self, clock: float, now: Counters) -> None:
        """Go on with a reading; who goes into a session asks early, which is no time for rates."""
        if self._since is None:
            self._since = clock, now
        elapsed = clock - self._since[0]
        if elapsed >= _RATE:
            before = self._since[1]
            self.cpu = _rate(before.cpu, now.cpu, elapsed)
            self.quota = _rate(before.throttled, now.throttled, elapsed) or 0.0
            self._since = clock, now
        self.add(clock, now.memory, self.cpu)

    def add(self, clock: float, memory: int | None, cpu: float | None) -> None:
        """Go on with what is known already."""
        self.cpu = cpu
        self.points.append((clock, memory, cpu))

    def past(self, clock: float) -> list[tuple[float, int | None, float | None]]:
        """The points of the last minute."""
        return [point for point in self.points if point[0] >= clock - PAST]


@dataclass(slots=True)
class Board:
    """The state of knowledge; `every` is the time between two readings.

    `take`, `hear`, `fail` and their like change it, nothing else does.
    """

    every: float = 1.0
    reading: Reading | None = None
    failure: str = ""
    note: str = ""  # where it is no daemon of now: what is replayed
    deaf: str = ""  # why no events come
    failed_at: float | None = None  # clock of the last good reading when it broke off
    calls: dict[str, CallView] = field(default_factory=dict)  # open, and lately over
    gone: dict[str, float] = field(default_factory=dict)
    call_courses: dict[str, Course] = field(default_factory=dict)
    session_courses: dict[str, Course] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # of sessions that have one
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    trace: Trace | None = None
    trace_of: str | None = None
    trace_failure: str = ""
    _marks: dict[tuple[str | None, str | None], dict[Mark, float]] = field(default_factory=dict)

    def take(self, new: Reading) -> None:
        """The daemon answered."""
        self.reading = new
        self.answer()
        for view in new.calls:
            self.call_courses.setdefault(view.call.id, Course()).read(new.clock, view.usage)
        self._keep_calls(new)
        self._sum_sessions(new)
        self._forget(new)

    def hear(self, event: Event) -> None:
        """An event came."""
        if event.kind in NOTABLE and (event.kind is not Kind.CALL_ENDED or _kills(event)):
            self.events.append(event)
        mark = _MARKS.get(event.kind)
        if event.kind is Kind.CALL_ENDED and _kills(event):
            mark = Mark.KILLED
        if mark is not None:
            self._marks.setdefault((event.session, event.call), {})[mark] = event.at

    def answer(self) -> None:
        """The daemon is there."""
        self.failure, self.failed_at = "", None

    def fail(self, why: str, clock: float) -> None:
        """The daemon did not answer."""
        if self.failed_at is None:
            self.failed_at = clock if self.reading is None else self.reading.clock
        self.failure = why

    def follow(self, whose: str, trace: Trace | None, failure: str = "") -> None:
        """The trace of that call or session came, or why it did not."""
        if trace is not None or whose != self.trace_of:
            self.trace = trace
        self.trace_of, self.trace_failure = whose, failure

    def marks(self, session: str, call: str | None, at: float) -> set[Mark]:
        """What befell a call, or (None) a session's work outside calls, in the last minute."""
        told = self._marks.get((session, call), {})
        found = {mark for mark, when in told.items() if at - when <= PAST}
        course = self.call_courses.get(call or "")
        if course is not None and course.quota > _QUOTA and call not in self.gone:
            found.add(Mark.QUOTA)
        return found

    def calls_of(self, session: str | None) -> list[CallView]:
        """Calls of a session, or all."""
        return [v for v in self.calls.values() if session is None or v.call.session == session]

    def whose(self, session: str) -> str:
        """What people recognise a session by: its name, if it has one, else its id."""
        return self.names.get(session, session)

    def _keep_calls(self, new: Reading) -> None:
        fresh = {str(view.call.id): view for view in new.calls}
        for name in self.calls.keys() - fresh.keys():
            self.gone.setdefault(name, new.clock)
        for name in [n for n in self.gone if n in fresh or new.clock - self.gone[n] > GONE]:
            del self.gone[name]
        self.calls = {n: v for n, v in self.calls.items() if n in self.gone} | fresh

    def _sum_sessions(self, new: Reading) -> None:
        used: dict[str, float] = {}
        for view in new.calls:
            cpu = self.call_courses[view.call.id].cpu
            if cpu is not None:
                used[view.call.session] = used.get(view.call.session, 0.0) + cpu
        for one in new.sessions:
            course = self.session_courses.setdefault(one.session.id, Course())
            course.add(new.clock, one.memory, used.get(one.session.id))
            if name := one.session.name or one.session.container:
                self.names[one.session.id] = name

    def _forget(self, new: Reading) -> None:
        _drop(self.call_courses, self.calls)
        sessions = {str(one.session.id) for one in new.sessions}
        _drop(self.session_courses, sessions)
        _drop(self.names, sessions | {view.call.session for view in self.calls.values()})
        for name in [n for n, m in self._marks.items() if new.at - max(m.values()) > PAST]:
            del self._marks[name]


def _drop(kept: dict[str, Any], known: Iterable[str]) -> None:
    for name in kept.keys() - set(known):
        del kept[name]


def _kills(event: Event) -> bool:
    return event.data.get("cause") in _KILLS


def _rate(before: float | None, now: float | None, elapsed: float) -> float | None:
    if before is None or now is None:
        return None
    return max(0.0, now - before) / elapsed
