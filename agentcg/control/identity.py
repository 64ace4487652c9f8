"""Who is at the other end of a connection: its cgroup says so, and nothing else does."""

import os

from agentcg.api.controller import Caller, Door, Peer, Role
from agentcg.control.core import Core
from agentcg.errors import UnsupportedError
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel import procfs


async def identify(core: Core, peer: Peer, door: Door) -> Caller:
    """Find out who a peer is, from its cgroup alone.

    Root in a container is uid 0 too, so the administrator also has to live in the daemon's
    own pid and user namespaces.
    """
    try:
        cgroup = pidfds.cgroup_id(peer.pidfd)
    except UnsupportedError:
        root = core.settings.cgroup.root
        cgroup = await core.blocking(pidfds.cgroup_id_by_path, peer.pidfd, root)
    session, call = core.state.place_of(cgroup)
    if call is not None:
        return Caller(Role.CALL, peer, call.record.session, call.record.id)
    if session is not None:
        return Caller(Role.SESSION, peer, session.record.id)
    if door is Door.ADMIN and _same_namespaces(peer.pid):
        path = procfs.cgroup_path(peer.pid).strip("/")
        if not any(_below(path, s.record.cgroup) for s in core.state.sessions.values()):
            return Caller(Role.ADMIN, peer)
    return Caller(Role.NOBODY, peer)


def _below(path: str, ancestor: str) -> bool:
    return path == ancestor or path.startswith(ancestor + "/")


def _same_namespaces(pid: int) -> bool:
    return all(
        procfs.ns_id(pid, kind) == procfs.ns_id(os.getpid(), kind) for kind in ("pid", "user")
    )
