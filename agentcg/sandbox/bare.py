"""Bare sessions: a cgroup of our own below the keeper's, with a process tree moved into it.

The parent is delegated to us by systemd (agentcg-keeper.service, Delegate=yes), or made by us
where there is no systemd. It is not the daemon's own unit, whose restart kills what is below.
"""

import contextlib
from pathlib import PurePosixPath

from agentcg.errors import CgroupError
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.sandbox import processes, tree


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
    processes.refuse(pid)
    processes.refuse_member(pid, origin)
    processes.gather(session.agent, pid)
    # Opened by path, so that a bad path shows now and not when it is needed.
    root.open_path(origin).close()
    return origin


def give_back(session: tree.Tree, origin: str, *, root: CgroupDir) -> None:
    """Move the agent's processes back to where they came from; the root if that is gone."""
    try:
        target = root.open_path(origin)
    except CgroupError:
        target = root.open_path("")
    with target:
        tree.move_all(session.agent, target)
