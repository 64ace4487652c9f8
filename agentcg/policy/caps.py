"""The caps of a session's two halves, so that no call can take the agent with it.

No OOM may be reached at the session's own limit, because there the kernel picks the biggest
process, which may be the agent. So the calls together get what the session has, less a reserve
that covers the agent and what the session was charged before it was split.

That reserve follows what the agent's half uses. The agent's own cap must not, or a hog outside any
call would raise its cap as it grows; it is made of what the agent has *settled* at
(`policy.undeclared.settle`) and an allowance.
"""

from agentcg.model.caps import Caps

MIB = 1 << 20
RESERVE_FACTOR = 1.25
RESERVE_FLOOR = 64 * MIB
UNDECLARED_SHARE = 0.25
PIDS_RESERVE = 256
MOVED = 0.10


def reserve(used: int) -> int:
    """Bytes kept for an agent that uses `used` (session - calls): 1.25 x that + 64 MiB."""
    return int(RESERVE_FACTOR * used) + RESERVE_FLOOR


def settled_at(agent_memory: int, *, limit: int, undeclared_share: float) -> int:
    """The bytes that an agent had settled at when `caps` gave it `agent_memory`, at most."""
    return max(
        0, int((agent_memory - int(limit * undeclared_share) - RESERVE_FLOOR) / RESERVE_FACTOR)
    )


def caps(
    *,
    limit: int | None,
    pids: int | None,
    reserved: int,
    settled: int,
    undeclared_share: float = UNDECLARED_SHARE,
) -> Caps:
    """Share a session's memory `limit` and `pids` between its calls and its agent.

    `reserved` is the reserve for what the agent uses, `settled` that for what it settled at.

    A session too small for the reserve still leaves its calls a quarter: a call that is killed
    early can be explained, a call that cannot start cannot. Of processes too the agent gets what is
    kept for it and the share for undeclared work, and where there are enough less than the calls.
    """
    calls_memory = agent_memory = calls_pids = agent_pids = None
    if limit is not None:
        calls_memory = max(limit - reserved, limit // 4)
        agent_memory = min(limit, settled + int(limit * undeclared_share))
    if pids is not None:
        calls_pids = max(pids - PIDS_RESERVE, pids // 2)
        share = PIDS_RESERVE + int(pids * undeclared_share)
        agent_pids = max(pids - calls_pids, min(share, calls_pids))
    return Caps(reserved, calls_memory, agent_memory, calls_pids, agent_pids)


def moved(old: int | None, new: int | None) -> bool:
    """Whether a cap moved far enough (10 %) to be worth a write, which may reclaim."""
    if old is None or new is None:
        return old is not new
    return abs(new - old) > MOVED * max(old, 1)
