"""Sessions and calls to look at, on the fake controller: what they use follows from the time."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from typing_extensions import override

from agentcg.api.controller import Caller
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.sample import Counters, Sample, Usage
from agentcg.model.session import Budget, Runtime, Session
from agentcg.model.trace import Trace, Window
from agentcg.model.view import CallView, SessionView
from tests.unit.api.fake import FakeController

MIB = 1 << 20
AT = 1_780_000_000.0
NASTY = "\x1b]0;x\x07<script>\u202e"
COMMANDS = (
    "pytest -q tests/unit",
    "git status",
    "cargo build --release",
    f"echo {NASTY}",
    "python -m 測試 模型",
    "npm ci",
    "rg --files | wc -l",
)


def session(name: str, *, priority: int = 0, label: str = "") -> Session:
    budget = Budget(memory=4096 * MIB, guarantee=1024 * MIB)
    cgroup = f"agentcg.slice/{name}"
    return Session(SessionId(name), Runtime.DOCKER, cgroup, 7, priority, budget, name=label)


def seen(one: Session, calls: int, memory: int = 900 * MIB) -> SessionView:
    return SessionView(one, calls, memory, 4096 * MIB, 300 * MIB, 3700 * MIB, 600 * MIB)


def call(number: int, home: str, seconds: float = 0.0, *, began: float = AT) -> CallView:
    """A call `seconds` after its start; each number has a size, a pace and a command of its own."""
    limit = _limit(number)
    record = Call(
        CallId(f"c-{number:08x}"),
        SessionId(home),
        Intent(command=COMMANDS[number % len(COMMANDS)]),
        Grant(memory_limit=limit, memory_guarantee=64 * MIB),
        CallState.FROZEN if number % 11 == 10 else CallState.RUNNING,
        declared_at=began - number % 300,
        started_at=began - number % 300,
    )
    return CallView(record, usage(number, seconds))


def usage(number: int, seconds: float) -> Counters:
    share = 0.5 + 0.4 * math.sin(seconds / 9 + number)
    return Counters(
        memory=int(_limit(number) * share),
        peak=int(_limit(number) * 0.9),
        cpu=seconds * (number % 5) / 5,
        throttled=seconds / 4 if number % 7 == 4 else 0.0,
        pids=3 + number % 20,
        pressure=(number % 6) * 2.5,
    )


def _limit(number: int) -> int:
    return (256 << number % 4) * MIB


def killed(view: CallView, at: float) -> CallView:
    """The same, lost to its limit."""
    limit = view.call.grant.memory_limit
    outcome = Outcome(Cause.OOM, 137, 9, 4.0, 3.5, limit, 0.5, 1, Level.CALL, limit, limit)
    record = replace(view.call, state=CallState.CLOSED, ended_at=at, outcome=outcome)
    return replace(view, call=record)


def event(seq: int, at: float, kind: Kind, home: str, which: str | None = None) -> Event:
    text = {
        Kind.CALL_OOM: "killed at 512 MiB, its limit; ask for 1 GiB",
        Kind.CALL_THROTTLED: "the pool is tight: 3 % of it are free",
        Kind.CALL_STALLED: f"at its limit for 5 s {NASTY}",
    }.get(kind, "")
    return Event(seq, at, kind, home, which, text)


class Fleet(FakeController):
    """So many calls, spread over sessions; `age` is how long they run."""

    def __init__(self, calls: int, homes: Sequence[Session], *, began: float) -> None:
        super().__init__()
        self.kept = {one.id: one for one in homes}
        self.number, self.began, self.age = calls, began, 0.0
        self.without: set[int] = set()
        self.hung = False
        self.past = []

    def _all(self) -> list[CallView]:
        homes = list(self.kept)
        return [
            call(n, homes[(n + n // 5) % len(homes)], self.age, began=self.began)
            for n in range(self.number)
            if n not in self.without
        ]

    @override
    async def calls(self, caller: Caller, *, everything: bool) -> Sequence[CallView]:
        if self.hung:
            await asyncio.Event().wait()
        return self._all()

    @override
    async def sessions(self, caller: Caller) -> Sequence[SessionView]:
        mine = [view.call.session for view in self._all()]
        return [
            seen(one, mine.count(one.id), int((2 + math.sin(self.age / 7 + n)) * 1024) * MIB)
            for n, one in enumerate(self.kept.values())
        ]

    @override
    async def call_trace(self, caller: Caller, call: CallId, window: Window) -> Trace:
        """What is shown now, for the last minute."""
        if call in self.traces:
            return self.traces[call]
        view = next(view for view in self._all() if view.call.id == call)
        number = next(n for n in range(self.number) if f"c-{n:08x}" == call)
        samples = _samples(self._at(number, n) for n in range(int(self.age) + 1))
        told = tuple(event for event in self.past if event.call == call)
        grant = view.call.grant
        home = view.call.session
        return Trace(home, view.call, grant.memory_limit, grant.memory_guarantee, samples, told)

    @override
    async def session_trace(self, caller: Caller, session: SessionId, window: Window) -> Trace:
        samples = _samples(self._at(0, n) for n in range(int(self.age) + 1))
        return Trace(session, None, None, 0, samples, ())

    def _at(self, number: int, seconds: int) -> tuple[float, Counters]:
        return self.began + seconds, usage(number, seconds)


def _samples(seen: Iterable[tuple[float, Counters]]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            at,
            at - AT,
            True,
            Usage(
                memory=usage.memory,
                peak=usage.memory,
                cpu=usage.cpu,
                throttled=usage.throttled,
                memory_some=number * 0.004,
                cpu_some=number * 0.12,
                io_some=number * 0.02,
            ),
        )
        for number, (at, usage) in enumerate(seen)
    )
