"""The recording of traces: which calls and sessions are read, and what else goes to the store."""

import asyncio
import contextlib
import resource

from typing_extensions import override

from agentcg.control import learning
from agentcg.control.core import Core, Recorder
from agentcg.control.sampling import Sampler, Subject
from agentcg.control.state import LiveCall
from agentcg.errors import AgentcgError
from agentcg.intent.kinds import kind_of
from agentcg.kernel import procfs
from agentcg.model.call import Call
from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.trace import Account
from agentcg.policy.cadence import Cadence
from agentcg.telemetry.gauge import Gauge
from agentcg.telemetry.store import Store
from agentcg.telemetry.writer import Rules, Writer

SESSION = ""  # what stands for a call in a session's own samples
_SESSION_EVERY = 1.0


class Traces(Recorder):
    """Records what is open. Used on the event loop, but for `last`."""

    store: Store

    def __init__(self, core: Core, store: Store) -> None:
        self.store = store
        self._core = core
        self._sampler = Sampler(store, lambda: core.clock())

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
                self._sampler.remove(key)
                if key[1] == SESSION:
                    self._core.learned.forget(key[0])
            case Kind.CALL_STARTED if key not in self._sampler:
                self._begin(key, new=False)  # its making failed and could not be taken back
            case Kind.PRESSURE:
                self._sampler.stir(event.session, None)
            case _:
                self._sampler.stir(*key)

    @override
    def stir(self, live: LiveCall) -> None:
        self._sampler.stir(live.record.session, live.record.id)

    @override
    def last(self, live: LiveCall) -> None:
        key = (live.record.session, live.record.id)
        gauge = self._sampler.gauge(key)
        if gauge is None:
            return
        try:
            sample = gauge.read_last()
        except (AgentcgError, ValueError):
            return  # gone before it could be read
        self.store.put(*key, sample)

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
        self._sampler.start()
        self._core.spawn(learning.recall_past(self._core, self.store))

    def _begin(self, key: tuple[str, str], *, new: bool) -> None:
        state = self._core.state
        session, live = state.sessions.get(SessionId(key[0])), state.calls.get(CallId(key[1]))
        if session is None or key in self._sampler:
            return
        if key[1] == SESSION:
            pace = Cadence(_SESSION_EVERY, _SESSION_EVERY)
            gauge = Gauge(session.tree.session, self._stamp, new=new)
            self._sampler.add(Subject(key, gauge, cadence=pace))
        elif live is not None and live.leaf is not None:
            self._sampler.add(Subject(key, Gauge(live.leaf, self._stamp, new=new)))

    def _stamp(self) -> tuple[float, float]:
        # In milliseconds, as they are written: so a sample is known again in its file.
        return self._core.now(), round(self._core.clock(), 3)

    @override
    def close(self) -> None:
        self._sampler.close()
        self.store.close()


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
