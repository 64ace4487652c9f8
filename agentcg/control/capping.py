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
# Seconds between looks at limits that others may set. It is a file for each level up to the root,
# and inotify would not tell of all: not of a write through the mount of another cgroup namespace.
_BOUNDS_EVERY = 5.0


def read(core: Core, live: LiveSession) -> Caps | None:
    """What its agent and its calls may have now; None: they are only looked at. Blocks briefly."""
    if live.record.observe_only is not None:
        live.tree.session.read("cgroup.events")  # raises when it is gone
        return None
    new = _shares(core, live)
    if live.record.undeclared is not Undeclared.OBSERVE:
        granting.govern_agent(core, live)
    return new


async def recap(core: Core, live: LiveSession, new: Caps | None) -> None:
    """Share the session's memory and pids between agent and calls anew, if that moved by 10 %."""
    old = live.caps
    if new is None or (
        old is not None
        and not shares.moved(old.calls_memory, new.calls_memory)
        and not shares.moved(old.agent_memory, new.agent_memory)
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
    if core.clock() >= live.bounds_due:
        live.limit, live.pids = _limit(core, live.record), _pids(live)
        live.bounds_due = core.clock() + _BOUNDS_EVERY
    used = max(0, session - calls)
    if live.settled is None:
        live.settled = _settled_before(core, live)
    live.settled = undeclared.settle(
        live.settled, used, live.limit, core.now(), lambda: _resident(live.record)
    )
    return shares.caps(
        limit=live.limit,
        pids=live.pids,
        reserved=shares.reserve(used),
        settled=shares.reserve(live.settled.memory),
        undeclared_share=core.settings.sessions.undeclared_share,
    )


def _pids(live: LiveSession) -> int | None:
    """How many processes the session may have: by its cgroup, and its budget if that is less."""
    pids = [counters.integer(live.tree.session, "pids.max"), live.record.budget.pids]
    return min((p for p in pids if p is not None), default=None)


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
