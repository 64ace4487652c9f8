"""Process trees on their way into a session: which may go, and how to get all of one."""

import contextlib
import os
from collections.abc import Collection

import psutil

from agentcg.errors import ConflictError, ProcessGoneError
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.sandbox import tree

_ROUNDS = 20


def family(pid: int) -> list[int]:
    """A process and its descendants, parents first.

    Raises:
        ProcessGoneError: it is dead.
    """
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess as e:
        raise ProcessGoneError(pid) from e


def gather(target: CgroupDir, pid: int) -> None:
    """Move a process and all its descendants into `target`, those too that are forked meanwhile.

    Raises:
        ConflictError: it forks faster than it can be moved, or a descendant is in a session
            already; in that case nothing was moved.
    """
    refuse_members(pid, but=target.pids())
    for _ in range(_ROUNDS):
        # What was born in the target is there already, and no stray.
        inside = set(target.pids())
        strays = [p for p in family(pid) if p not in inside]
        if not strays:
            return
        for stray in strays:
            with contextlib.suppress(ProcessGoneError):
                target.move(stray)
    raise ConflictError(f"process {pid} forks faster than it can be moved: stop it first")


def refuse(pid: int) -> None:
    """Refuse a process that must never be moved, whatever its cgroup.

    Raises:
        ConflictError: the message says why.
    """
    if pid in (1, 2) or procfs.parent(pid) == 2:
        raise ConflictError(f"process {pid} is init or a kernel thread: name an agent's process")
    ours = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    if pid in ours:
        raise ConflictError(f"process {pid} is the daemon or an ancestor of it: name an agent's")
    if procfs.ns_id(pid, "pid") != procfs.ns_id(os.getpid(), "pid"):
        raise ConflictError(
            f"process {pid} is in another pid namespace: open its container as a session instead"
        )


def refuse_member(pid: int, origin: str) -> None:
    """Refuse a process that is in a session already.

    Raises:
        ConflictError: one session would lose what the other takes.
    """
    if {tree.AGENT, tree.CALLS} & set(origin.split("/")):
        raise ConflictError(f"process {pid} is in a session already: {origin!r}")


def refuse_members(pid: int, *, but: Collection[int] = ()) -> None:
    """Refuse a process any of whose descendants is in a session already, leaving out `but`.

    Raises:
        ConflictError: as `refuse_member`.
    """
    for member in family(pid):
        if member not in but:
            with contextlib.suppress(ProcessGoneError):
                refuse_member(member, procfs.cgroup_path(member))
