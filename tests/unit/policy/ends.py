"""Calls, and how they end."""

from agentcg.model.call import Call
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent, MemoryWish
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.sample import Counters
from agentcg.policy.advice import UNBOUNDED, Most
from agentcg.policy.verdict import Evidence, conclude

GIB = 2**30
MIB = 2**20
# A host with all controllers, and one with none.
CALM = Counters(
    memory=MIB,
    peak=GIB,
    cpu=1.5,
    throttled=0.0,
    pids=0,
    oom=0,
    oom_kill=0,
    max_hits=0,
    pids_max_hits=0,
    pressure=0.0,
)
BARE = Counters()


def call(*, started: bool = True, limit: int | None = 2 * GIB, asked: int | None = None) -> Call:
    return Call(
        CallId("c-1"),
        SessionId("s-1"),
        Intent(memory=MemoryWish(limit=asked)),
        Grant(memory_limit=limit, pids=64, deadline=5.0),
        started_at=100.0 if started else None,
    )


def exited(code: int) -> int:
    return code << 8


def end(
    usage: Counters = CALM,
    *,
    of: Call | None = None,
    status: int | None = None,
    killed_for: Cause | None = None,
    calls_oom: int = 0,
    session_oom: int = 0,
    most: Most = UNBOUNDED,
) -> Outcome:
    evidence = Evidence(
        usage,
        status,
        killed_for,
        calls_oom,
        session_oom,
        calls_limit=3 * GIB,
        session_limit=4 * GIB,
        ended_at=103.0,
        most=most,
    )
    return conclude(of or call(), evidence)


def oom(*, own: int = 0) -> Counters:
    return Counters(peak=GIB, oom=own, oom_kill=1, max_hits=9)
