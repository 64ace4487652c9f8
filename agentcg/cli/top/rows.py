"""What a row of the tables shows: sessions and calls, with what befell them."""

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass

from agentcg.cli.top.board import Board, Course, Mark
from agentcg.model.view import CallView, SessionView

_MARKS = frozenset(mark.value for mark in Mark)


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call; `gone`: it is over, and what it shows is what it used last."""

    view: CallView
    course: Course
    marks: set[Mark]
    gone: bool
    clock: float
    at: float
    whose: str

    @property
    def id(self) -> str:
        """What the cursor stands on."""
        return self.view.call.id

    @property
    def session(self) -> str:
        """Whose it is."""
        return self.view.call.session

    @property
    def memory(self) -> int | None:
        """Bytes, as they were read last."""
        return self.view.usage.memory

    @property
    def limit(self) -> int | None:
        """Its own memory limit."""
        return self.view.call.grant.memory_limit

    @property
    def pressure(self) -> float | None:
        """Percent of 10 s in which all of it waited for memory."""
        return None if self.gone else self.view.usage.pressure

    @property
    def command(self) -> str:
        """What it runs."""
        return self.view.call.intent.command or self.view.call.intent.tool

    @property
    def state(self) -> str:
        """Its state; a call is remembered as it was seen last."""
        return "over" if self.gone else self.view.call.state.value

    @property
    def seconds(self) -> float:
        """How long it runs, or ran."""
        call = self.view.call
        end = call.ended_at or (self.at - (self.clock - self.course.points[-1][0]))
        return max(0.0, end - (call.started_at or call.declared_at))

    @property
    def cpu(self) -> float | None:
        """CPUs in use."""
        return None if self.gone else self.course.cpu


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session; CPU and pressure are those of its calls, `outside` of its work beside them."""

    view: SessionView
    course: Course
    marks: Counter[Mark]
    outside: set[Mark]
    pressure: float | None
    clock: float
    gone: bool = False

    @property
    def id(self) -> str:
        """What the cursor stands on."""
        return self.view.session.id

    @property
    def memory(self) -> int | None:
        """Bytes, its agent's included."""
        return self.view.memory

    @property
    def limit(self) -> int | None:
        """Its memory limit."""
        return self.view.limit

    @property
    def cpu(self) -> float | None:
        """CPUs in use by its calls."""
        return self.course.cpu

    @property
    def priority(self) -> int:
        """The highest that its calls may have."""
        return self.view.session.priority

    @property
    def calls(self) -> int:
        """How many are open."""
        return self.view.open_calls

    @property
    def name(self) -> str:
        """What it is recognised by."""
        return self.view.session.name or self.view.session.container or ""


def calls(board: Board, session: str | None) -> list[CallRow]:
    """Of a session, or all."""
    reading = board.reading
    if reading is None:
        return []
    return [
        CallRow(
            view,
            board.call_courses[view.call.id],
            board.marks(view.call.session, view.call.id, reading.at),
            view.call.id in board.gone,
            reading.clock,
            reading.at,
            board.whose(view.call.session),
        )
        for view in board.calls_of(session)
    ]


def sessions(board: Board, inside: Iterable[CallRow]) -> list[SessionRow]:
    """All sessions, with what befell these calls."""
    reading = board.reading
    if reading is None:
        return []
    marks: dict[str, Counter[Mark]] = {}
    pressures: dict[str, float] = {}
    for one in inside:
        home = one.session
        marks.setdefault(home, Counter()).update(one.marks)
        if one.pressure is not None:
            pressures[home] = max(pressures.get(home, 0.0), one.pressure)
    found = []
    for view in reading.sessions:
        name = view.session.id
        outside = board.marks(name, None, reading.at)
        both = marks.get(name, Counter[Mark]()) + Counter(outside)
        course = board.session_courses[name]
        found.append(SessionRow(view, course, both, outside, pressures.get(name), reading.clock))
    return found


def marks(inside: Iterable[CallRow], homes: Iterable[SessionRow]) -> Counter[Mark]:
    """How many calls, and sessions outside theirs, have each mark."""
    found: Counter[Mark] = Counter()
    for call in inside:
        found.update(call.marks)
    for home in homes:
        found.update(home.outside)
    return found


def matching_calls(rows: list[CallRow], words: str) -> list[CallRow]:
    """Those in which every word occurs somewhere."""
    if not words:
        return rows
    return [
        row
        for row in rows
        if _matches(words, row.marks, (row.id, row.session, row.whose, row.state, row.command))
    ]


def matching_sessions(rows: list[SessionRow], words: str) -> list[SessionRow]:
    """Those in which every word occurs somewhere."""
    return [
        row
        for row in rows
        if _matches(words, row.marks, (row.id, row.name, row.view.session.runtime.value))
    ]


def _matches(words: str, marks: Container[str], fields: Iterable[str]) -> bool:
    # A mark is looked for among marks alone: an agent writes into its commands what it likes.
    text = " ".join(fields).casefold()
    return all(
        word in marks if word in _MARKS else word in text for word in words.casefold().split()
    )
