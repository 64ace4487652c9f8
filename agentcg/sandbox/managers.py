"""Whose processes a session on the host itself holds, and which managers would work for them.

Every uid may ask its own systemd for a unit, which then runs beside the session and not in it.
"""

import contextlib

import psutil

from agentcg.errors import AgentcgError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.sandbox.tree import Tree

_MANAGER = "user.slice/user-{uid}.slice/user@{uid}.service"


def uids(tree: Tree) -> set[int]:
    """The uids of a session's processes, in calls and beside them."""
    found: set[int] = set()
    for pid in _pids(tree):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update(psutil.Process(pid).uids())
    return found


def user_managers(root: CgroupDir, uids: set[int]) -> set[int]:
    """Those of the uids for which a user's systemd runs now."""
    found = set()
    for uid in uids:
        with contextlib.suppress(AgentcgError), root.open_path(_MANAGER.format(uid=uid)):
            found.add(uid)
    return found


def _pids(tree: Tree) -> list[int]:
    pids: list[int] = []
    with contextlib.suppress(AgentcgError):
        pids += tree.agent.pids()
        for name in tree.calls.children():
            with contextlib.suppress(AgentcgError), tree.calls.child(name) as leaf:
                pids += leaf.pids()
    return pids
