"""A session's tree: split it into agent and calls, give calls leaves, and undo all of it.

    <session>/            no processes once split
      agentcg.agent/      the harness and all that was not declared
      agentcg.calls/      no processes; the cap for all calls together
        <call id>/        one leaf per call

A node that has domain controllers enabled for its children can hold no process ("no internal
processes" in cgroup-v2.rst), which is why the agent has to move down.
"""

import contextlib
from dataclasses import dataclass

from agentcg.errors import CgroupError, CgroupGoneError, ProcessGoneError
from agentcg.kernel.cgroupfs import CgroupDir

AGENT = "agentcg.agent"
CALLS = "agentcg.calls"
CONTROLLERS = frozenset({"memory", "cpu", "pids", "cpuset", "io"})
_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Tree:
    """Open handles on the three directories of a split session."""

    session: CgroupDir
    agent: CgroupDir
    calls: CgroupDir

    def close(self) -> None:
        """Close the handles; the cgroups stay."""
        for cgroup in (self.agent, self.calls, self.session):
            cgroup.close()


def split(session: CgroupDir) -> Tree:
    """Split a session, or finish a split that was begun. Takes over `session`. Idempotent.

    Raises:
        CgroupError: the processes could not be moved, because new ones kept appearing.
    """
    agent = session.make(AGENT, exist_ok=True)
    move_all(session, agent)
    session.enable(CONTROLLERS)
    calls = session.make(CALLS, exist_ok=True)
    calls.enable(CONTROLLERS)
    return Tree(session, agent, calls)


def join(tree: Tree) -> None:
    """Undo a split: the calls are gone already, the agent moves up, the directories go.

    Controllers go first: while they are enabled the session itself cannot hold a process.
    """
    with contextlib.suppress(CgroupGoneError):
        tree.session.remove_child(CALLS)
    disable_all(tree.session)
    move_all(tree.agent, tree.session)
    tree.session.remove_child(AGENT)


def leaf(tree: Tree, name: str) -> CgroupDir:
    """Make the leaf of a call."""
    return tree.calls.make(name)


def move_all(source: CgroupDir, target: CgroupDir) -> None:
    """Move every process, again and again until none is left: they may be forking meanwhile."""
    for _ in range(_ROUNDS):
        pids = source.pids()
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessGoneError):
                target.move(pid)
    raise CgroupError(source.path, None, f"still has processes after {_ROUNDS} rounds of moving")


def disable_all(cgroup: CgroupDir) -> None:
    """Disable every controller for the children, each by itself so that one refusal is alone."""
    for name in cgroup.subtree_control():
        with contextlib.suppress(CgroupError):
            cgroup.write("cgroup.subtree_control", f"-{name}")
