"""Move a waiting client into its call's leaf, before it execs the command.

The number that names a process can pass to a stranger at any moment; only the pidfd cannot. So
the move goes by number, and the pidfd is asked afterwards whether the number was still its own.
"""

import contextlib
import time

from agentcg.errors import AgentcgError, ConflictError, ProcessGoneError
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir

OOM_SCORE_ADJ = 500


def place(leaf: CgroupDir, *, pid: int, pidfd: int, root: CgroupDir) -> float:
    """Move the peer into `leaf`; returns the seconds that the one cgroup.procs write took.

    Raises:
        ConflictError: it has other threads or children, so moving it would tear it apart.
        ProcessGoneError: it died meanwhile; nothing is left in the leaf.
    """
    threads = procfs.thread_count(pid)
    if threads != 1 or procfs.has_children(pid):
        raise ConflictError(
            f"process {pid} has {threads} threads or has children: only a fresh process of one "
            f"thread can be placed, use `acg run -- COMMAND`"
        )
    begun = time.perf_counter()
    leaf.move(pid)
    took = time.perf_counter() - begun
    if not pidfds.alive(pidfd):
        _put_back(leaf, root)
        raise ProcessGoneError(pid)
    # Host-wide OOM should take a call rather than what it works for.
    with contextlib.suppress(OSError, ProcessGoneError):
        procfs.set_oom_score_adj(pid, OOM_SCORE_ADJ)
    return took


def _put_back(leaf: CgroupDir, root: CgroupDir) -> None:
    """The number was a stranger's: move it to where its parent is, the best guess there is."""
    for stranger in leaf.pids():
        with contextlib.suppress(AgentcgError):
            home = procfs.cgroup_path(procfs.parent(stranger)).strip("/")
            with root.open_path(home) as target:
                target.move(stranger)
