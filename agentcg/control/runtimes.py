"""Open sessions on what others run: a container's cgroup, or a systemd scope.

Such a cgroup exists before its session and may outlive it. The caller holds `core.state.opening`.
"""

import os
from collections.abc import Callable
from dataclasses import replace

from agentcg.control import sessions
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.errors import BadValueError, CgroupGoneError, ConflictError, ProcessGoneError
from agentcg.kernel import procfs, sdbus
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import Kind
from agentcg.model.ids import SessionId
from agentcg.model.session import Runtime, Session, Undeclared
from agentcg.model.wire import SessionBody
from agentcg.policy import containers, guarantees, priority, targets
from agentcg.sandbox import docker, processes, scope, splitting, tree


async def open_docker(core: Core, body: SessionBody) -> LiveSession:
    """Make a running container a session.

    Raises:
        ConflictError: it is one already, does not run, or must not be one.
        UnavailableError: the engine does not answer.
    """
    if body.container is None or body.pid is not None:
        raise BadValueError("container: runtime 'docker' needs its id or name, and no pid")
    engine = docker.Engine(core.settings.docker.socket)
    found = await core.blocking(engine.container, body.container)
    known = by_container(core, found.id)
    if known is not None:
        raise ConflictError(f"container {found.name} is session {known.record.id} already")
    chosen = sessions.new_id(core, body.id)
    home = await core.blocking(
        docker.home, engine, found, root=core.root, cgroup_of=containers.cgroup_of
    )
    reason = targets.refuse_target(home.path, delegated=True, children=(), own_unit=_own_cgroup())
    if reason is not None:
        home.cgroup.close()
        raise ConflictError(reason)
    record = replace(
        _record(core, body, chosen, Runtime.DOCKER, home.cgroup),
        container=found.id,
        name=body.name or found.name[:128],
        way_out=containers.warning(found),
    )
    observe_only = containers.observe_reason(found) or home.odd
    if observe_only is not None:
        # Its own work cannot be told from what it does to its cgroup, so nothing is capped.
        record = replace(record, observe_only=observe_only, undeclared=Undeclared.OBSERVE)
        live = await _attach(core, record, home.cgroup, splitting.whole)
    else:
        live = await _attach(core, record, home.cgroup, splitting.split)
    for words in (observe_only and f"only observed: {observe_only}", record.way_out):
        if words:
            core.tell(Kind.DAEMON, words, session=record.id)
    return live


async def open_scope(core: Core, body: SessionBody) -> LiveSession:
    """Make a process tree a session, in a scope of its own or in the one that it has.

    Raises:
        ConflictError: the process, or where it is, must not be touched.
        UnavailableError: there is no systemd.
    """
    if body.pid is None or body.container is not None:
        raise BadValueError("pid: runtime 'scope' needs a process, and no container")
    pid = body.pid
    pool = core.settings.cgroup.pool
    async with sdbus.connected(core.bus_address) as systemd:
        born = procfs.start_time(pid)
        await core.blocking(processes.refuse, pid)
        chosen = sessions.new_id(core, body.id)
        place = await scope.place_of(systemd, pid)
        unit = place.unit
        if unit is not None and unit.delegated and guarantees.within(unit.cgroup, pool):
            cgroup = await core.blocking(_existing, core, unit, place)
            split: Callable[[CgroupDir], tree.Tree] = splitting.split
        else:
            await core.blocking(processes.refuse_members, pid)
            reason = targets.refuse_origin(place.cgroup, delegated=place.delegated)
            if reason is not None:
                raise ConflictError(reason)
            unit = await systemd.start_scope(
                scope.name_of(chosen),
                pids=await core.blocking(processes.family, pid),
                slice_name=pool.rpartition("/")[2],
                limits=_limits(body),
            )
            cgroup = await core.blocking(core.root.open_path, unit.cgroup)

            def split(session: CgroupDir) -> tree.Tree:
                return scope.split(session, pid)

        if procfs.start_time(pid) != born:
            cgroup.close()
            raise ProcessGoneError(pid)
        record = _record(core, body, chosen, Runtime.SCOPE, cgroup)
        return await _attach(core, record, cgroup, split)


def by_container(core: Core, container: str) -> LiveSession | None:
    """The open session of a container."""
    live = core.state.sessions.values()
    return next((s for s in live if s.record.container == container), None)


def _existing(core: Core, unit: sdbus.Unit, place: scope.Place) -> CgroupDir:
    """Open a unit's cgroup that is to be taken up as it is."""
    if any(s.record.cgroup == unit.cgroup for s in core.state.sessions.values()):
        raise ConflictError(f"unit {unit.name} is a session already")
    cgroup = core.root.open_path(unit.cgroup)
    try:
        reason = targets.refuse_target(
            unit.cgroup,
            delegated=unit.delegated,
            children=scope.foreign(cgroup),
            own_unit=place.own_unit,
        )
    except BaseException:
        cgroup.close()
        raise
    if reason is not None:
        cgroup.close()
        raise ConflictError(reason)
    return cgroup


async def _attach(
    core: Core, record: Session, cgroup: CgroupDir, split: Callable[[CgroupDir], tree.Tree]
) -> LiveSession:
    """Journal, split, enlist; what fails leaves the cgroup as it was found."""
    core.journal.put_session(record, is_open=True)
    made: tree.Tree | None = None
    try:
        made = await core.blocking(split, cgroup)
        return await sessions.enlist(core, record, made)
    except BaseException as e:
        core.journal.put_session(record, is_open=False)
        if record.observe_only is None:
            await core.blocking(splitting.undo, cgroup)
        (made or cgroup).close()
        if isinstance(e, CgroupGoneError):
            raise ConflictError(f"session {record.id}: what it was for ended meanwhile") from e
        raise


def _record(
    core: Core, body: SessionBody, chosen: SessionId, runtime: Runtime, cgroup: CgroupDir
) -> Session:
    return Session(
        id=chosen,
        runtime=runtime,
        cgroup=str(cgroup.path.relative_to(core.root.path)),
        cgroup_id=cgroup.id,
        priority=body.priority,
        budget=body.budget.budget(),
        undeclared=body.undeclared,
        name=body.name,
        created_at=core.now(),
    )


def _limits(body: SessionBody) -> dict[str, int]:
    """A new scope's own limits; a container's are its engine's business."""
    wanted = {
        "MemoryMax": body.budget.memory,
        "TasksMax": body.budget.pids,
        "CPUWeight": priority.weight(100, body.priority),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _own_cgroup() -> str:
    return procfs.cgroup_path(os.getpid()).strip("/")
