"""The last readings of a call, the outcome that follows from them, and telling it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.errors import CgroupGoneError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import Kind
from agentcg.model.grant import THROTTLE
from agentcg.model.outcome import Outcome
from agentcg.model.sample import Counters
from agentcg.policy.admit import most_of
from agentcg.policy.verdict import Evidence, conclude
from agentcg.telemetry import counters

if TYPE_CHECKING:
    from agentcg.enforce.governor import Governor


@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel said: the leaf's counters, how many are left in it, the levels above.

    Their limits are read only where the OOM killer was at work.
    """

    usage: Counters = field(default_factory=Counters)
    left: int = 0
    calls_oom: int = 0
    session_oom: int = 0
    calls_limit: int | None = None
    session_limit: int | None = None
    held: float | None = None


def read(core: Core, live: LiveCall) -> Reading:
    """Read a call's leaf and its ancestors' own OOM counters; blocks briefly."""
    leaf, tree = live.leaf, live.session.tree
    if leaf is None:
        return Reading()
    try:
        usage = counters.read(leaf)
        killed = bool(usage.oom_kill)
        return Reading(
            usage,
            len(leaf.pids()) + len(leaf.children()),
            counters.own_oom(tree.calls),
            counters.own_oom(tree.session),
            counters.integer(tree.calls, "memory.max") if killed else None,
            counters.integer(tree.session, "memory.max") if killed else None,
            _held(live, leaf, core.governor),
        )
    except CgroupGoneError:
        return Reading()


def _held(live: LiveCall, leaf: CgroupDir, governor: "Governor | None") -> float | None:
    if governor is not None:
        return governor.held(leaf.id)
    if THROTTLE not in live.record.grant.enforced:
        return None
    if live.waited is None:
        return live.held
    return live.held + max(0.0, (counters.waited(leaf) or 0.0) - live.waited)


def outcome(live: LiveCall, reading: Reading) -> Outcome:
    """Conclude from a reading and from what is known of the main process."""
    session = live.session
    calls_limit = None if session.caps is None else session.caps.calls_memory
    evidence = Evidence(
        usage=reading.usage,
        status=live.status,
        killed_for=live.killed_for,
        calls_oom=reading.calls_oom - live.calls_oom,
        session_oom=reading.session_oom - live.session_oom,
        calls_limit=reading.calls_limit,
        session_limit=reading.session_limit,
        held=reading.held,
        gpu=live.gpu_kill,
        ended_at=live.record.ended_at or 0.0,
        most=most_of(session.record.budget, calls_limit),
    )
    return conclude(live.record, evidence)


def tell_end(core: Core, live: LiveCall, result: Outcome) -> None:
    """Tell the outcome, advice and all, to whoever waits for it and to the outside."""
    live.ended.set()
    core.tell(
        Kind.CALL_ENDED,
        result.advice,
        session=live.record.session,
        call=live.record.id,
        data={
            "cause": result.cause.value,
            "exit_code": result.exit_code,
            "signal": result.signal,
            "peak": result.peak,
            "level": None if result.level is None else result.level.value,
        },
    )
