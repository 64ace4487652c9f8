"""Sessions: opened, capped, closed."""

import contextlib
from dataclasses import replace

from agentcg.control import closing
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.enforce import limits, remove
from agentcg.errors import AgentcgError, CgroupError, CgroupGoneError, ConflictError
from agentcg.kernel import parse
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.caps import Caps
from agentcg.model.event import Kind
from agentcg.model.host import Host
from agentcg.model.ids import SessionId, mint_session_id, session_id
from agentcg.model.session import Runtime, Session, Undeclared
from agentcg.model.wire import SessionBody
from agentcg.policy import caps as shares
from agentcg.sandbox import bare, tree
from agentcg.telemetry import counters


async def open_bare(core: Core, body: SessionBody, pid: int | None) -> LiveSession:
    """Make a bare session and move a process tree into it, or leave it empty.

    Raises:
        ConflictError: the id is taken, or the process must not be moved.
    """
    chosen = _id(core, body)
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
        created_at=core.now(),
    )
    core.journal.put_session(record, is_open=True)
    try:
        record, session_tree = await core.blocking(_make_bare, core, record, pid)
    except BaseException:
        core.journal.put_session(record, is_open=False)
        raise
    return await enlist(core, record, session_tree)


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
        origin = None if pid is None else bare.take_in(made, pid, root=core.root)
    except BaseException:
        _scrap(core, made, parent, record.id)
        raise
    return replace(record, cgroup_id=made.session.id, origin=origin), made


def _scrap(core: Core, made: tree.Tree, parent: str, name: str) -> None:
    with contextlib.suppress(AgentcgError):
        bare.give_back(made, "", root=core.root)
        made.close()
        with bare.parent(core.root, parent) as home:
            remove.remove(home, name)


async def enlist(core: Core, record: Session, session_tree: tree.Tree) -> LiveSession:
    """Enter an open session into the books, cap its halves, and follow its agent."""
    live = LiveSession(record, session_tree, cpus=frozenset())
    live.cpus, live.limit = await core.blocking(_bounds, core, session_tree, record)
    await recap(core, live)
    core.state.add_session(live)
    core.journal.put_session(record, is_open=True)
    agent = session_tree.agent
    live.on_idle = lambda: core.spawn(_idle(core, live))
    core.watch.add(agent, "cgroup.events", live.on_idle)
    if core.host.has("memory"):
        core.watch.add(agent, "memory.events.local", lambda: core.spawn(_agent_memory(core, live)))
    core.tell(Kind.SESSION_OPENED, f"{record.runtime.value} {record.name}", session=record.id)
    return live


async def recap(core: Core, live: LiveSession) -> None:
    """Share the session's memory and pids between agent and calls anew, if that moved by 10 %."""
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
    await core.blocking(limits.apply_caps, agent=live.tree.agent, calls=live.tree.calls, caps=new)


async def close(core: Core, live: LiveSession) -> None:
    """Kill the calls, then leave the session's cgroup as it was found.

    A bare session's processes go back to where they came from.
    """
    live.closing = True
    for call in list(live.calls.values()):
        await closing.close(core, call)
    core.watch.remove(live.tree.agent)
    core.state.drop_session(live)
    with contextlib.suppress(CgroupGoneError):
        await core.blocking(_leave, core, live)
    live.tree.close()
    core.journal.put_session(live.record, is_open=False)
    core.tell(Kind.SESSION_CLOSED, "", session=live.record.id)


def _leave(core: Core, live: LiveSession) -> None:
    if live.record.runtime is not Runtime.BARE:
        tree.join(live.tree)
        return
    if live.record.origin is not None:
        bare.give_back(live.tree, live.record.origin, root=core.root)
    with bare.parent(core.root, core.settings.cgroup.bare_parent) as home:
        remove.kill(live.tree.session)
        for _ in range(100):
            if remove.remove(home, live.record.id):
                return
    raise ConflictError(f"session {live.record.id}: its cgroup is still busy; close it again")


def _bounds(
    core: Core, session_tree: tree.Tree, record: Session
) -> tuple[frozenset[int], int | None]:
    """The CPUs that the session may use, and the least memory.max up to the root."""
    try:
        cpus = parse.id_list(session_tree.session.read("cpuset.cpus.effective"))
    except CgroupError:
        cpus = core.host.cpus
    return cpus, _least(core.root, record.cgroup, core.host)


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
    live.limit = _least(core.root, live.record.cgroup, core.host)
    return shares.caps(
        limit=live.limit,
        pids=counters.integer(live.tree.session, "pids.max"),
        reserved=shares.reserve(session=session, calls=calls),
        undeclared_share=core.settings.sessions.undeclared_share,
    )


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


def _id(core: Core, body: SessionBody) -> SessionId:
    if body.id is None:
        chosen = mint_session_id()
        return chosen if chosen not in core.state.sessions else _id(core, body)
    chosen = session_id(body.id)
    if chosen in core.state.sessions:
        raise ConflictError(f"session {chosen} is open already: choose another id")
    return chosen
