"""Records to write: with every field set, and small ones."""

from agentcg.model.call import Call, CallState
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import CpuClass, CpuWish, Intent, MemoryWish, OnEnd, OnPressure
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.session import Budget, Runtime, Session, Undeclared

SESSION = Session(SessionId("s-1"), Runtime.BARE, "pool/s-1", 7)
FULL_SESSION = Session(
    SessionId("s-2"),
    Runtime.DOCKER,
    "agentcg.slice/docker-1.scope",
    8,
    priority=5,
    budget=Budget(1, 2, 3, 4),
    undeclared=Undeclared.OBSERVE,
    container="1f",
    name="name \u202e",
    origin="user.slice",
    created_at=1.5,
    observe_only="it has a systemd of its own",
    limit=6,
)
FULL_CALL = Call(
    CallId("c-full"),
    SessionId("s-2"),
    Intent(
        "pytest",
        "pytest -q",
        "key",
        MemoryWish(1, 2),
        CpuWish(CpuClass.BATCH, 3, 1.5),
        4,
        5,
        6.0,
        7.0,
        -8,
        OnPressure.KILL,
        OnEnd.KEEP,
    ),
    Grant(
        1,
        2,
        3,
        CpuClass.INTERACTIVE,
        4,
        frozenset({0, 5}),
        6,
        7.0,
        8,
        OnEnd.KEEP,
        {"MAKEFLAGS": "-j2"},
        {"memory.limit": "ok", "pids": "unsupported: why"},
        ("cut",),
    ),
    CallState.LINGERING,
    declared_at=10.25,
    started_at=11.0,
    ended_at=12.0,
    closed_at=13.0,
    pid=14,
    start_ticks=15,
    cgroup_id=2**63 - 1,
    by_peer=True,
    placement=0.0125,
    outcome=Outcome(
        Cause.OOM, 1, 9, 1.0, 2.0, 3, 4.0, 5, Level.CALLS, 6, left_behind=2, advice="Ask. More."
    ),
)


def call(name: str, *, at: float = 0.0, closed: bool = False, key: str | None = None) -> Call:
    state = CallState.CLOSED if closed else CallState.RUNNING
    return Call(CallId(name), SessionId("s-1"), Intent(key=key), Grant(), state, declared_at=at)
