"""Sessions: opened, capped, closed."""

import contextlib
from dataclasses import replace

from agentcg.control import capping, closing, metering, observing, pressure
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.enforce import limits, remove
from agentcg.errors import AgentcgError, CgroupError, CgroupGoneError, ConflictError
from agentcg.kernel import procfs
from agentcg.model.event import Kind
from agentcg.model.ids import SessionId, mint_session_id, session_id
from agentcg.model.session import Runtime, Session
from agentcg.model.wire import SessionBody
from agentcg.policy import priority
from agentcg.sandbox import bare, tree
from agentcg.telemetry import counters

LEAVE_WITHIN = 5.0


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
    if record.founders is None:
        founders = await core.blocking(capping.founders, session_tree.agent)
        record = replace(record, founders=founders)
    cpus, limit = await core.blocking(capping.bounds, core, session_tree, record)
    record = replace(record, limit=limit)
    live = LiveSession(record, session_tree, cpus, limit)
    await capping.recap(core, live, await core.blocking(capping.read, core, live))
    base = await metering.base(core, session_tree.session)
    # From the watch to the books nothing is waited for: it may become idle at once.
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
    core.meter.open(record.id, base)
    core.state.add_session(live)
    core.journal.put_session(record, is_open=True)
    if core.host.has("psi") and record.observe_only is None:
        core.spawn(pressure.follow(core, session_tree.calls, record.id))
    await observing.watch(core, live)
    core.tell(Kind.SESSION_OPENED, f"{record.runtime.value} {record.name}", session=record.id)
    return live


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
            await metering.closing(core, live)
            with contextlib.suppress(CgroupGoneError):
                await core.blocking(_leave, core, live)
        except BaseException:
            live.closing = False  # so that the next close tries again
            raise
        core.watch.remove(live.tree.agent)
        observing.forget(core, live)
        core.state.drop_session(live)
        if core.leases is not None:
            core.leases.session_closed(live.record.id)
        core.meter.close(live.record.id)
        live.tree.close()
        core.journal.put_session(replace(live.record, limit=live.limit), is_open=False)
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
        if remove.end(home, live.record.id, LEAVE_WITHIN):
            return
    raise ConflictError(f"session {live.record.id}: its cgroup is still busy; close it again")


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
