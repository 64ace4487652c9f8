"""The caps of a session's two halves, so that no call can take the agent with it.

No OOM may be reached at the session's own limit, because there the kernel picks the biggest
process, which may be the agent. So the calls together get what the session has, less a reserve
that covers the agent and what the session was charged before it was split.
"""

from agentcg.model.caps import Caps

MIB = 1 << 20
RESERVE_FACTOR = 1.25
RESERVE_FLOOR = 64 * MIB
UNDECLARED_SHARE = 0.25
PIDS_RESERVE = 256
MOVED = 0.10


def reserve(*, session: int, calls: int) -> int:
    """Bytes kept for the agent: 1.25 x (session current - calls current) + 64 MiB."""
    return int(RESERVE_FACTOR * max(0, session - calls)) + RESERVE_FLOOR


def caps(
    *,
    limit: int | None,
    pids: int | None,
    reserved: int,
    undeclared_share: float = UNDECLARED_SHARE,
) -> Caps:
    """Share a session's memory `limit` and `pids` between its calls and its agent.

    A session too small for the reserve still leaves its calls a quarter: a call that is killed
    early can be explained, a call that cannot start cannot.
    """
    calls_memory = agent_memory = calls_pids = agent_pids = None
    if limit is not None:
        calls_memory = max(limit - reserved, limit // 4)
        agent_memory = min(limit, reserved + int(limit * undeclared_share))
    if pids is not None:
        calls_pids = max(pids - PIDS_RESERVE, pids // 2)
        agent_pids = max(pids - 32, pids // 2)
    return Caps(reserved, calls_memory, agent_memory, calls_pids, agent_pids)


def moved(old: int | None, new: int | None) -> bool:
    """Whether a cap moved far enough (10 %) to be worth a write, which may reclaim."""
    if old is None or new is None:
        return old is not new
    return abs(new - old) > MOVED * max(old, 1)
