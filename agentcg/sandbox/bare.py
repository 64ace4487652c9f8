"""Bare sessions: a cgroup of our own below the keeper's, with a process tree moved into it.

The parent is delegated to us by systemd (agentcg-keeper.service, Delegate=yes), or made by us
where there is no systemd. It is not the daemon's own unit, whose restart kills what is below.
"""

import contextlib
import os
from pathlib import PurePosixPath

import psutil

from agentcg.errors import CgroupError, ConflictError, ProcessGoneError
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.sandbox import tree

_ROUNDS = 20


def parent(root: CgroupDir, path: str) -> CgroupDir:
    """Open the directory that bare sessions live below, made where it is missing.

    Controllers are enabled on the way down, as far as each level allows.
    """
    current = root.open_path("")
    for part in PurePosixPath(path).parts:
        with contextlib.suppress(CgroupError):
            current.enable(tree.CONTROLLERS)
        following = current.make(part, exist_ok=True)
        current.close()
        current = following
    with contextlib.suppress(CgroupError):
        current.enable(tree.CONTROLLERS)
    return current


def leave(root: CgroupDir, path: str) -> None:
    """Remove the directories that `parent` made, if nothing lives in them any more."""
    parts = PurePosixPath(path).parts
    for depth in range(len(parts), 0, -1):
        with (
            contextlib.suppress(CgroupError),
            root.open_path("/".join(parts[: depth - 1])) as above,
        ):
            above.remove_child(parts[depth - 1])


def make(root: CgroupDir, path: str, name: str) -> tree.Tree:
    """Make and split an empty session cgroup."""
    with parent(root, path) as home:
        return tree.split(home.make(name))


def take_in(session: tree.Tree, pid: int, *, root: CgroupDir) -> str:
    """Move a process and all its descendants into the session's agent; returns where it was.

    Raises:
        ConflictError: the process is one that must not be moved; the message says why.
        ProcessGoneError: it is dead.
    """
    origin = procfs.cgroup_path(pid).strip("/")
    _refuse(pid, origin)
    inside: set[int] = set()
    for _ in range(_ROUNDS):
        strays = [p for p in _family(pid) if p not in inside]
        if not strays:
            # Opened by path, so that a bad path shows now and not when it is needed.
            root.open_path(origin).close()
            return origin
        for stray in strays:
            with contextlib.suppress(ProcessGoneError):
                session.agent.move(stray)
        inside.update(strays)
    raise ConflictError(f"process {pid} forks faster than it can be moved: stop it first")


def give_back(session: tree.Tree, origin: str, *, root: CgroupDir) -> None:
    """Move the agent's processes back to where they came from; the root if that is gone."""
    try:
        target = root.open_path(origin)
    except CgroupError:
        target = root.open_path("")
    with target:
        tree.move_all(session.agent, target)


def _family(pid: int) -> list[int]:
    """A process and its descendants, parents first."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess as e:
        raise ProcessGoneError(pid) from e


def _refuse(pid: int, origin: str) -> None:
    if pid in (1, 2) or procfs.parent(pid) == 2:
        raise ConflictError(f"process {pid} is init or a kernel thread: name an agent's process")
    ours = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    if pid in ours:
        raise ConflictError(f"process {pid} is the daemon or an ancestor of it: name an agent's")
    if {tree.AGENT, tree.CALLS} & set(origin.split("/")):
        raise ConflictError(f"process {pid} is in a session already: {origin!r}")
    if procfs.ns_id(pid, "pid") != procfs.ns_id(os.getpid(), "pid"):
        raise ConflictError(
            f"process {pid} is in another pid namespace: open its container as a session instead"
        )
