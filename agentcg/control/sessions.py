"""Sessions: opened, capped, closed."""

import contextlib
import time
from dataclasses import replace

from agentcg.control import closing, pressure
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.enforce import limits, remove
from agentcg.errors import AgentcgError, CgroupError, CgroupGoneError, ConflictError
from agentcg.kernel import parse, procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.caps import Caps
from agentcg.model.event import Kind
from agentcg.model.host import Host
from agentcg.model.ids import SessionId, mint_session_id, session_id
from agentcg.model.session import Runtime, Session, Undeclared
from agentcg.model.wire import SessionBody
from agentcg.policy import caps as shares
from agentcg.policy import priority, undeclared
from agentcg.policy.undeclared import Settled
from agentcg.sandbox import bare, tree
from agentcg.telemetry import counters

LEAVE_TRIES = 100


async def open_bare(
    core: Core, body: SessionBody, pid: int | None, *, uid: int | None = None
) -> LiveSession:
    """Make a bare session and move a process tree into it, or leave it empty.

    `uid` is whose it is, of one that a process opened for itself. The caller holds
    `core.state.opening`.

    Raises:
        ConflictError: the id is taken, or the process must not be moved.
    """
    chosen = new_id(core, body.id)
    parent = core.settings.cgroup.bare_parent
    record = Session(
        id=chosen,
        runtime=Runtime.BARE,
        cgroup=f"{parent}/{chosen}",
        cgroup_id=0,
        priority=body.priority,
        budget=body.budget.budget(),
        undeclared=body.undeclared,
        name=body.name,
        # Known before the first move, so that a daemon that dies now can give the tree back.
        origin=None if pid is None else procfs.cgroup_path(pid).strip("/"),
        uid=uid,
        created_at=core.now(),
    )
    core.journal.put_session(record, is_open=True)
    try:
        record, made = await core.blocking(_make_bare, core, record, pid)
        try:
            return await enlist(core, record, made)
        except BaseException:
            await core.blocking(_scrap, core, made, record)
            raise
    except BaseException:
        core.journal.put_session(record, is_open=False)
        raise


def _make_bare(core: Core, record: Session, pid: int | None) -> tuple[Session, tree.Tree]:
    parent = core.settings.cgroup.bare_parent
    made = bare.make(core.root, parent, record.id)
    try:
        if record.budget.memory is not None:
            with contextlib.suppress(CgroupError):
                made.session.write("memory.max", record.budget.memory)
        if record.budget.pids is not None:
            with contextlib.suppress(CgroupError):
                made.session.write("pids.max", record.budget.pids)
        limits.weight(made.session, priority.weight(100, record.priority))
        if pid is not None:
            bare.take_in(made, pid, root=core.root)
    except BaseException:
        _scrap(core, made, record)
        raise
    return replace(record, cgroup_id=made.session.id), made


def _scrap(core: Core, made: tree.Tree, record: Session) -> None:
    with contextlib.suppress(AgentcgError):
        bare.give_back(made, record.origin or "", root=core.root)
        made.close()
        with bare.parent(core.root, core.settings.cgroup.bare_parent) as home:
            remove.remove(home, record.id)


async def enlist(core: Core, record: Session, session_tree: tree.Tree) -> LiveSession:
    """Enter an open session into the books, cap its halves, and follow its agent."""
    live = LiveSession(record, session_tree, cpus=frozenset())
    live.cpus, live.limit = await core.blocking(_bounds, core, session_tree, record)
    if record.observe_only is None:
        await recap(core, live)
    agent = session_tree.agent
    live.on_idle = lambda: core.coalesce(("idle", record.id), lambda: _idle(core, live))
    try:
        core.watch.add(agent, "cgroup.events", live.on_idle)
        if core.host.has("memory"):
            core.watch.add(agent, "memory.events.local", lambda: _on_agent_memory(core, live))
    except CgroupGoneError:
        raise
    except CgroupError as e:
        # Out of inotify watches: the session is held to its limits all the same.
        core.tell(Kind.DAEMON, e.message, session=record.id)
    core.state.add_session(live)
    core.journal.put_session(record, is_open=True)
    if core.host.has("psi") and record.observe_only is None:
        core.spawn(pressure.follow(core, session_tree.calls, record.id))
    core.tell(Kind.SESSION_OPENED, f"{record.runtime.value} {record.name}", session=record.id)
    return live


async def recap(core: Core, live: LiveSession) -> None:
    """Share the session's memory and pids between agent and calls anew, if that moved by 10 %."""
    if live.record.observe_only is not None:
        await core.blocking(live.tree.session.read, "cgroup.events")  # raises when it is gone
        return
    old = live.caps
    new = await core.blocking(_shares, core, live)
    if old is not None and not (
        shares.moved(old.calls_memory, new.calls_memory)
        or shares.moved(old.agent_memory, new.agent_memory)
    ):
        return
    live.caps = new
    if live.record.undeclared is Undeclared.OBSERVE:
        new = replace(new, agent_memory=None, agent_pids=None)
    await core.reclaiming(limits.apply_caps, agent=live.tree.agent, calls=live.tree.calls, caps=new)


async def close(core: Core, live: LiveSession) -> None:
    """Kill the calls, then leave the session's cgroup as it was found.

    A bare session's processes go back to where they came from.
    """
    async with live.lock:
        if core.state.sessions.get(live.record.id) is not live:
            return
        live.closing = True
        try:
            for call in list(live.calls.values()):
                await closing.close(core, call)
            with contextlib.suppress(CgroupGoneError):
                await core.blocking(_leave, core, live)
        except BaseException:
            live.closing = False  # so that the next close tries again
            raise
        core.watch.remove(live.tree.agent)
        core.state.drop_session(live)
        live.tree.close()
        core.journal.put_session(live.record, is_open=False)
    core.tell(Kind.SESSION_CLOSED, "", session=live.record.id)


def _leave(core: Core, live: LiveSession) -> None:
    if live.record.observe_only is not None:
        return
    if live.record.runtime is not Runtime.BARE:
        tree.join(live.tree)
        return
    if live.record.origin is not None:
        bare.give_back(live.tree, live.record.origin, root=core.root)
    with bare.parent(core.root, core.settings.cgroup.bare_parent) as home:
        remove.kill(live.tree.session)
        for _ in range(LEAVE_TRIES):
            if remove.remove(home, live.record.id):
                return
            time.sleep(0.05)  # in a worker thread; killed processes take a moment to go
    raise ConflictError(f"session {live.record.id}: its cgroup is still busy; close it again")


def _bounds(
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
    live.settled = undeclared.settle(live.settled, used, live.limit, core.now())
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


async def _idle(core: Core, live: LiveSession) -> None:
    """Close a bare session that nobody can declare in any more: its last process has left."""
    if live.closing or live.record.origin is None or live.calls:
        return
    try:
        populated = await core.blocking(live.tree.agent.populated)
    except CgroupGoneError:
        populated = False
    if not populated:
        await close(core, live)


def _on_agent_memory(core: Core, live: LiveSession) -> None:
    core.coalesce(("agent", live.record.id), lambda: _agent_memory(core, live))


async def _agent_memory(core: Core, live: LiveSession) -> None:
    usage = await core.blocking(counters.read, live.tree.agent)
    kills = usage.oom_kill or 0
    if kills > live.agent_oom_kills:
        live.agent_oom_kills = kills
        core.tell(
            Kind.AGENT_OOM,
            f"undeclared work hit a memory limit: {kills} processes of the agent's cgroup were "
            f"killed; declare heavy work as calls",
            session=live.record.id,
            data={"oom_kill": kills, "peak": usage.peak},
        )


def new_id(core: Core, wanted: str | None) -> SessionId:
    """Check the id that a caller wants, or mint one.

    Raises:
        ConflictError: it is in use.
    """
    if wanted is None:
        chosen = mint_session_id()
        return chosen if chosen not in core.state.sessions else new_id(core, None)
    chosen = session_id(wanted)
    if chosen in core.state.sessions:
        raise ConflictError(f"session {chosen} is open already: choose another id")
    return chosen
