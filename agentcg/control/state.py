"""Live sessions and calls: the one mutable thing, touched by the event loop's thread alone."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agentcg.errors import NotFoundError
from agentcg.harness.announced import Hooked
from agentcg.harness.attribute import Lineage
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import ALIVE, Call, CallState
from agentcg.model.caps import Caps
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.session import Session
from agentcg.policy.lent import Part
from agentcg.policy.pace import Pace
from agentcg.policy.stall import Stall
from agentcg.policy.steps import Jam
from agentcg.policy.undeclared import Credit, Settled
from agentcg.sandbox.tree import Tree


@dataclass(slots=True)
class LiveSession:
    """An open session. `limit` is the least memory.max from it to the root, in bytes.

    `pids` is how many processes it may have; both are read again at `bounds_due`, by Core.clock.
    `free` is the agent's reserve that the governor was last told of.
    `high` is the memory.high of its calls as it was last wanted, None for "max"; `unwritten` that
    the kernel refused it; `tripwire` that passing it makes a look; `held` that they were above it
    when last looked at; `waited_at` is when they last waited for memory. `lineage` is what the
    observer knows of the agent's processes, `undeclared` how many commands it saw outside calls,
    `late` the calls that have some of theirs there still.
    """

    record: Session
    tree: Tree
    cpus: frozenset[int]
    limit: int | None = None
    pids: int | None = None
    bounds_due: float = 0.0
    caps: Caps | None = None
    credit: Credit = field(default_factory=Credit)
    settled: Settled | None = None
    free: int | None = None
    agent_oom_kills: int = 0
    calls: dict[CallId, "LiveCall"] = field(default_factory=dict)
    closing: bool = False
    high: int | None = None
    unwritten: bool = False
    tripwire: bool = False
    held: bool = False
    waited_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    reclaim: asyncio.Lock = field(default_factory=asyncio.Lock)
    on_idle: Callable[[], None] = lambda: None
    hooked: Hooked = field(default_factory=Hooked)
    lineage: Lineage = field(default_factory=Lineage)
    pace: Pace = field(default_factory=Pace)
    joins: Pace = field(default_factory=Pace)
    late: set[CallId] = field(default_factory=set)
    gathering: asyncio.Lock = field(default_factory=asyncio.Lock)
    undeclared: int = 0

    def runs(self, call: str) -> bool:
        """Whether it has a call of this id that runs."""
        live = self.calls.get(CallId(call))
        return live is not None and live.state in ALIVE


@dataclass(slots=True)
class LiveCall:
    """An open call. `leaf` is None until its directory is made.

    `calls_oom` and `session_oom` are those levels' own counters when the call was declared;
    `for_room`: if it is frozen, then until the pool has room. `told` is set when the container
    engine said how it ended. `gpu` is what its grant says of GPU memory, `gpu_kill` words on it if
    it or a process of it was killed for that; `gpu_held` that it is frozen for it, `gpu_gates` how
    many of its processes wait at libcuda's gate.
    `held` is how long it waited for memory while memory.high held its session up, seconds; while
    it does so, `waited` is what its whole time of waiting was when that began.
    """

    record: Call
    session: LiveSession
    leaf: CgroupDir | None = None
    pidfd: int | None = None
    gpu: Part | None = None
    gpu_kill: str = ""
    gpu_held: bool = False
    gpu_gates: int = 0
    status: int | None = None
    killed_for: Cause | None = None
    calls_oom: int = 0
    session_oom: int = 0
    oom_told: int = 0
    held: float = 0.0
    waited: float | None = None
    hot: bool = False
    for_room: bool = False
    stall: Stall = field(default_factory=Stall)
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> CallState:
        """The record's state."""
        return self.record.state

    def cancel_timers(self) -> None:
        """Call off what was due; a later state sets its own timers."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


@dataclass(slots=True)
class Steps:
    """What stepping remembers from look to look; `timed` says that the next is due in a second."""

    jam: Jam = field(default_factory=Jam)
    timed: bool = False
    stopped: bool = False


class State:
    """All that is open, by id and by cgroup id."""

    def __init__(self) -> None:
        self.sessions: dict[SessionId, LiveSession] = {}
        self.calls: dict[CallId, LiveCall] = {}
        self._agents: dict[int, LiveSession] = {}
        self._leaves: dict[int, LiveCall] = {}
        self.opening = asyncio.Lock()
        self.fail_opens = 0
        self.hooks = 0
        self.hook_faults = 0
        self.undeclared = 0

    def add_session(self, session: LiveSession) -> None:
        """Register a session under its id and its agent's cgroup."""
        self.sessions[session.record.id] = session
        self._agents[session.tree.agent.id] = session

    def drop_session(self, session: LiveSession) -> None:
        """Forget a session."""
        self.sessions.pop(session.record.id, None)
        self._agents.pop(session.tree.agent.id, None)

    def add_call(self, call: LiveCall) -> None:
        """Register a call, which from now on counts against its session's budget."""
        self.calls[call.record.id] = call
        call.session.calls[call.record.id] = call

    def add_leaf(self, call: LiveCall, leaf: CgroupDir) -> None:
        """From now on a peer in `leaf` speaks for `call`."""
        call.leaf = leaf
        self._leaves[leaf.id] = call

    def drop_call(self, call: LiveCall) -> None:
        """Forget a call."""
        self.calls.pop(call.record.id, None)
        call.session.calls.pop(call.record.id, None)
        if call.leaf is not None:
            self._leaves.pop(call.leaf.id, None)

    def session(self, session_id: SessionId) -> LiveSession:
        """Find an open session."""
        try:
            return self.sessions[session_id]
        except KeyError:
            raise NotFoundError(
                f"session {session_id[:80]!r}: not open; `agentcg tree` lists the open ones"
            ) from None

    def place_of(self, cgroup_id: int) -> tuple[LiveSession | None, LiveCall | None]:
        """Whose cgroup this is: a call's leaf, a session's agent, or neither."""
        call = self._leaves.get(cgroup_id)
        if call is not None:
            return call.session, call
        return self._agents.get(cgroup_id), None

    def by_key(self, session: LiveSession, key: str) -> LiveCall | None:
        """The open call that a session declared under the harness's own id."""
        return next((c for c in session.calls.values() if c.record.intent.key == key), None)
