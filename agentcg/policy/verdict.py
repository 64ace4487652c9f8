"""From evidence to an outcome: the cause, and the level whose limit it was.

OOM truth is `memory.events.local`, never exit code 137: a call lost processes if its own
`oom_kill` rose, and whose limit it was is the level whose own `oom` rose with it.
"""

from dataclasses import dataclass, replace

from agentcg.model.call import Call
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.sample import Counters
from agentcg.policy.advice import UNBOUNDED, Most, advise


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read when a call ended.

    `status` is the wait status of its main process, `killed_for` why we killed it, if we did,
    `calls_oom` and `session_oom` how far those levels' own `oom` counters rose while it ran,
    `calls_limit` and `session_limit` their memory limits, `held` how long the governor held its
    threads up, `gpu` words on its GPU memory if it, or a process of it, was killed for that, `most`
    what a call of its session may be granted.
    """

    usage: Counters
    status: int | None = None
    killed_for: Cause | None = None
    calls_oom: int = 0
    session_oom: int = 0
    calls_limit: int | None = None
    session_limit: int | None = None
    held: float | None = None
    gpu: str = ""
    ended_at: float = 0.0
    most: Most = UNBOUNDED


def conclude(call: Call, evidence: Evidence) -> Outcome:
    """Write the outcome of a call."""
    usage = evidence.usage
    code, signal = _split(evidence.status)
    oom_kills = usage.oom_kill
    level = _level(evidence) if oom_kills else None
    cause = _cause(call, evidence, code, signal)
    wall = None if call.started_at is None else max(0.0, evidence.ended_at - call.started_at)
    outcome = Outcome(
        cause=cause,
        exit_code=code,
        signal=signal,
        wall=wall,
        cpu=usage.cpu,
        peak=usage.peak,
        throttled=usage.throttled,
        held=evidence.held,
        oom_kills=oom_kills,
        level=level,
        limit=call.grant.memory_limit,
        level_limit=_level_limit(call, evidence, level),
    )
    return replace(outcome, advice=advise(call, outcome, evidence.most, evidence.gpu))


def _split(status: int | None) -> tuple[int | None, int | None]:
    if status is None:
        return None, None
    if status & 0x7F:
        return None, status & 0x7F
    return (status >> 8) & 0xFF, None


def _level(evidence: Evidence) -> Level:
    if evidence.usage.oom:
        return Level.CALL
    if evidence.calls_oom > 0:
        return Level.CALLS
    if evidence.session_oom > 0:
        return Level.SESSION
    return Level.HOST


def _level_limit(call: Call, evidence: Evidence, level: Level | None) -> int | None:
    match level:
        case Level.CALL:
            return call.grant.memory_limit
        case Level.CALLS:
            return evidence.calls_limit
        case Level.SESSION:
            return evidence.session_limit
        case Level.AGENT | Level.HOST | None:
            return None


def _cause(call: Call, evidence: Evidence, code: int | None, signal: int | None) -> Cause:
    if evidence.usage.oom_kill:
        return Cause.OOM
    # A command that ended by itself just before the kill came was not killed.
    if evidence.killed_for is not None and code is None:
        return evidence.killed_for
    felt = Cause.GPU if evidence.gpu else Cause.PIDS if evidence.usage.pids_max_hits else None
    if felt is not None and code not in (0, None):
        return felt
    if signal is not None:
        return Cause.SIGNALLED
    if code is not None:
        return Cause.EXITED
    return Cause.UNKNOWN if call.started_at is not None else Cause.NEVER_STARTED
