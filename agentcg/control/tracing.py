"""The recording of traces: who is read when, and what of it goes to the store.

All readings of a tick are one batch in a worker thread: the files do not wait for anything but a
lock of the kernel's, yet memory.stat and cpu.stat add up figures of all CPUs, which on a large host
takes as long as an answer may. With nothing to read nothing runs.
"""

import asyncio
import contextlib
import logging
import resource
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from agentcg.control import learning
from agentcg.control.core import Core, Recorder
from agentcg.control.state import LiveCall
from agentcg.errors import AgentcgError
from agentcg.intent.kinds import kind_of
from agentcg.kernel import procfs
from agentcg.model.call import Call
from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Account
from agentcg.policy import cadence
from agentcg.policy.cadence import Cadence
from agentcg.telemetry.gauge import Gauge
from agentcg.telemetry.store import Store
from agentcg.telemetry.writer import Rules, Writer

log = logging.getLogger(__name__)

SESSION = ""  # what stands for a call in a session's own samples
_SESSION_EVERY = 1.0
# So many readings are folded in at a stretch, then the event loop has other work.
_SLICE = 64


@dataclass(slots=True)
class Subject:
    """A call or a session that is read."""

    session: str
    call: str
    gauge: Gauge
    cadence: Cadence = field(default_factory=Cadence)
    usage: Usage = field(default_factory=Usage)
    full: Usage = field(default_factory=Usage)
    full_at: float = 0.0


class Traces(Recorder):
    """Records what is open. Used on the event loop, but for `last`."""

    store: Store

    def __init__(self, core: Core, store: Store) -> None:
        self.store = store
        self._core = core
        self._subjects: dict[tuple[str, str], Subject] = {}
        self._wake = asyncio.Event()

    @override
    def heard(self, event: Event) -> None:
        self.store.note(event)
        if event.session is None:
            return
        key = (event.session, event.call or SESSION)
        match event.kind:
            case Kind.SESSION_OPENED | Kind.CALL_DECLARED:
                self._begin(key, new=event.kind is Kind.CALL_DECLARED)
            case Kind.SESSION_CLOSED | Kind.CALL_CLOSED:
                self._let_go(key)
                if key[1] == SESSION:
                    self._core.learned.forget(key[0])
            case Kind.CALL_STARTED if key not in self._subjects:
                self._begin(key, new=False)  # its making failed and could not be taken back
            case Kind.PRESSURE:
                self._stir(one for one in self._subjects.values() if one.session == event.session)
            case _:
                self._stir(one for one in (self._subjects.get(key),) if one is not None)

    @override
    def stir(self, live: LiveCall) -> None:
        one = self._subjects.get((live.record.session, live.record.id))
        if one is not None:
            self._stir([one])

    @override
    def last(self, live: LiveCall) -> None:
        one = self._subjects.get((live.record.session, live.record.id))
        if one is None:
            return
        try:
            sample = one.gauge.read_last()
        except (AgentcgError, ValueError):
            return  # gone before it could be read
        self.store.put(one.session, one.call, sample)

    @override
    def closed(self, record: Call) -> None:
        one = account(record)
        self.store.note(one)
        learning.closed(self._core, one)

    @override
    def begin(self) -> None:
        for session in self._core.state.sessions.values():
            self._begin((session.record.id, SESSION), new=False)
            for live in session.calls.values():
                self._begin((session.record.id, live.record.id), new=False)
        self._core.spawn(self._forever())
        self._core.spawn(learning.recall_past(self._core, self.store))

    def _begin(self, key: tuple[str, str], *, new: bool) -> None:
        state = self._core.state
        session, live = state.sessions.get(SessionId(key[0])), state.calls.get(CallId(key[1]))
        if session is None or key in self._subjects:
            return
        if key[1] == SESSION:
            pace = Cadence(_SESSION_EVERY, _SESSION_EVERY)
            gauge = Gauge(session.tree.session, self._stamp, new=new)
            self._subjects[key] = Subject(*key, gauge, cadence=pace)
        elif live is not None and live.leaf is not None:
            self._subjects[key] = Subject(*key, Gauge(live.leaf, self._stamp, new=new))
        self._wake.set()

    def _stamp(self) -> tuple[float, float]:
        # In milliseconds, as they are written: so a sample is known again in its file.
        return self._core.now(), round(self._core.clock(), 3)

    def _let_go(self, key: tuple[str, str]) -> None:
        if self._subjects.pop(key, None) is not None:
            self.store.over(*key)

    def _stir(self, subjects: Iterable[Subject]) -> None:
        clock = self._core.clock()
        for one in subjects:
            one.cadence = cadence.stirred(one.cadence, clock)
            self._wake.set()

    async def _forever(self) -> None:
        """Read what is due, until cancelled; at most every 100 ms."""
        while True:
            try:
                await self._turn()
            except Exception:
                log.exception("traces: a reading failed; the daemon goes on")
                await asyncio.sleep(_SESSION_EVERY)

    async def _turn(self) -> None:
        self._wake.clear()
        clock = self._core.clock()
        due = [one for one in self._subjects.values() if one.cadence.due <= clock]
        if due:
            await self._batch(due, clock)
            await asyncio.sleep(cadence.until_tick(self._core.clock()))
            return
        soonest = min((one.cadence.due for one in self._subjects.values()), default=None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if soonest is None else soonest - clock):
                await self._wake.wait()

    @override
    def close(self) -> None:
        self.store.close()

    async def _batch(self, due: Sequence[Subject], clock: float) -> None:
        plan = [(one.gauge, one.cadence.is_full(clock)) for one in due]
        found = await self._core.blocking(_read, plan)
        for number, (one, sample) in enumerate(zip(due, found, strict=True), 1):
            if self._subjects.get((one.session, one.call)) is one:
                self._fold(one, sample, clock)
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    def _fold(self, one: Subject, sample: Sample | None, clock: float) -> None:
        """Record a reading, and say when the next is due."""
        if sample is None:
            # Gone, and the event that says so is on its way; or not to be read now.
            one.cadence = Cadence(cadence.QUIET, cadence.QUIET, clock + cadence.QUIET)
            return
        self.store.put(one.session, one.call, sample)
        full, usage = sample.full, sample.usage
        ran = full and cadence.ran(one.full, usage, sample.clock - one.full_at)
        moved = cadence.moved(one.usage, usage)
        one.cadence = cadence.after(one.cadence, clock, moved=moved, ran=ran, full=full)
        one.usage = usage
        if full:
            one.full, one.full_at = usage, sample.clock


def start(core: Core) -> None:
    """Begin to hear and to record, if the configuration says so."""
    wanted = core.settings.traces
    if not wanted.enabled:
        return
    # A call's trace holds three files open; what systemd does not set is 1024 as a rule.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = core.settings.paths.state / "traces"
    rules = Rules(folder, wanted.days, wanted.size, procfs.boot_id())
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: the log has it
            loop.call_soon_threadsafe(core.tell, Kind.DAEMON, text)

    writer = Writer(rules, now=core.now, clock=core.clock, tell=tell)
    core.recorder = Traces(core, Store(writer))


def account(call: Call) -> Account:
    """A closed call in figures."""
    result, intent, grant = call.outcome or Outcome(Cause.UNKNOWN), call.intent, call.grant
    return Account(
        call.id,
        call.session,
        kind_of(intent.command, intent.tool),
        call.declared_at,
        result.cause,
        wall=result.wall,
        cpu=result.cpu,
        peak=result.peak,
        throttled=result.throttled,
        held=result.held,
        oom_kills=result.oom_kills,
        asked_limit=intent.memory.limit,
        asked_guarantee=intent.memory.guarantee,
        limit=grant.memory_limit,
        guarantee=grant.memory_guarantee,
    )


def _read(plan: Sequence[tuple[Gauge, bool]]) -> list[Sample | None]:
    """Read a batch, in a thread; None for what is gone."""
    found: list[Sample | None] = []
    for gauge, full in plan:
        try:
            found.append(gauge.read(full=full))
        except (AgentcgError, ValueError):
            # Gone; or a file that is not what it should be, which must not blind us to the others.
            found.append(None)
    return found
