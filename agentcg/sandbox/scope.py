"""Scopes: a process tree in a delegated systemd unit of its own below the pool.

systemd moves the processes and keeps the unit as long as one of them lives; what is below the
unit's cgroup is ours (Delegate=yes). A scope that is delegated already is taken up as it is.
"""

import contextlib
import os
from dataclasses import dataclass

from agentcg.errors import NotFoundError
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.sdbus import Systemd, Unit
from agentcg.sandbox import processes, splitting, tree

PREFIX = "agentcg-"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process is now: its cgroup, its unit if it has one, and the daemon's own unit."""

    cgroup: str
    unit: Unit | None
    own_unit: str | None

    @property
    def delegated(self) -> bool:
        """Whether its unit has Delegate=yes."""
        return self.unit is not None and self.unit.delegated


async def place_of(systemd: Systemd, pid: int) -> Place:
    """Find out what a process belongs to."""
    unit = own = None
    with contextlib.suppress(NotFoundError):
        unit = await systemd.unit_of(pid)
    with contextlib.suppress(NotFoundError):
        own = (await systemd.unit_of(os.getpid())).cgroup
    return Place(procfs.cgroup_path(pid).strip("/"), unit, own)


def name_of(session: str) -> str:
    """The scope of a session. The id's grammar is a part of a unit name's."""
    return f"{PREFIX}{session}.scope"


def foreign(cgroup: CgroupDir) -> list[str]:
    """The children that we did not make."""
    return sorted(set(cgroup.children()) - {tree.AGENT, tree.CALLS})


def split(session: CgroupDir, pid: int) -> tree.Tree:
    """Split a scope, then bring in what the process forked while systemd moved it."""
    made = splitting.split(session)
    processes.gather(made.agent, pid)
    return made
