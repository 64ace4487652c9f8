"""A session's memory and pids, shared between its agent and its calls (policy.caps)."""

import contextlib
from dataclasses import replace

from agentcg.control import granting
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.enforce import limits
from agentcg.errors import CgroupError, ProcessGoneError
from agentcg.kernel import parse, procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.caps import Caps
from agentcg.model.host import Host
from agentcg.model.session import Session, Undeclared
from agentcg.policy import caps as shares
from agentcg.policy import undeclared
from agentcg.policy.undeclared import Settled
from agentcg.sandbox import tree
from agentcg.telemetry import counters

# More are not followed: a harness is a handful of processes.
_FOUNDERS = 64


async def recap(core: Core, live: LiveSession) -> None:
    """Share the session's memory and pids between agent and calls anew, if that moved by 10 %."""
    if live.record.observe_only is not None:
        await core.blocking(live.tree.session.read, "cgroup.events")  # raises when it is gone
        return
    old = live.caps
    new = await core.blocking(_shares, core, live)
    if live.record.undeclared is not Undeclared.OBSERVE:
        await core.blocking(granting.govern_agent, core, live)
    if old is not None and not (
        shares.moved(old.calls_memory, new.calls_memory)
        or shares.moved(old.agent_memory, new.agent_memory)
    ):
        return
    live.caps = new
    if live.record.undeclared is Undeclared.OBSERVE:
        new = replace(new, agent_memory=None, agent_pids=None)
    await core.reclaiming(limits.apply_caps, agent=live.tree.agent, calls=live.tree.calls, caps=new)


def bounds(
    core: Core, session_tree: tree.Tree, record: Session
) -> tuple[frozenset[int], int | None]:
    """The CPUs that the session may use, and the least memory.max up to the root."""
    try:
        cpus = parse.id_list(session_tree.session.read("cpuset.cpus.effective"))
    except CgroupError:
        cpus = core.host.cpus
    return cpus, _limit(core, record)


def _limit(core: Core, record: Session) -> int | None:
    """What the session may use: what its cgroup allows, and its budget if that is less."""
    least = _least(core.root, record.cgroup, core.host)
    budget = record.budget.memory
    return least if least is None or budget is None else min(least, budget)


def _least(root: CgroupDir, path: str, host: Host) -> int | None:
    if not host.has("memory"):
        return None
    least = host.memory_total
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        with root.open_path("/".join(parts[:depth])) as level:
            own = counters.integer(level, "memory.max")
        least = least if own is None else min(least, own)
    return least


def _shares(core: Core, live: LiveSession) -> Caps:
    session = counters.integer(live.tree.session, "memory.current") or 0
    calls = counters.integer(live.tree.calls, "memory.current") or 0
    live.limit = _limit(core, live.record)
    used = max(0, session - calls)
    if live.settled is None:
        live.settled = _settled_before(core, live)
    live.settled = undeclared.settle(
        live.settled, used, live.limit, core.now(), lambda: _resident(live.record)
    )
    pids = [counters.integer(live.tree.session, "pids.max"), live.record.budget.pids]
    return shares.caps(
        limit=live.limit,
        pids=min((p for p in pids if p is not None), default=None),
        reserved=shares.reserve(used),
        settled=shares.reserve(live.settled.memory),
        undeclared_share=core.settings.sessions.undeclared_share,
    )


def _settled_before(core: Core, live: LiveSession) -> Settled | None:
    """What the agent had settled at when a daemon before this one wrote its cap."""
    cap = counters.integer(live.tree.agent, "memory.max")
    if cap is None or live.limit is None:
        return None
    share = core.settings.sessions.undeclared_share
    return Settled(shares.settled_at(cap, limit=live.limit, undeclared_share=share), core.now())


def founders(agent: CgroupDir) -> tuple[tuple[int, int], ...]:
    """The processes that a session is opened with, its harness: number and start of each."""
    found = []
    for pid in agent.pids()[:_FOUNDERS]:
        with contextlib.suppress(ProcessGoneError):
            found.append((pid, procfs.start_time(pid)))
    return tuple(found)


def _resident(record: Session) -> int:
    """Bytes that those of them hold that still live."""
    held = 0
    for pid, start in record.founders or ():
        with contextlib.suppress(ProcessGoneError):
            if procfs.start_time(pid) == start:
                held += procfs.resident(pid)
    return held
