"""Kill a cgroup's whole subtree and remove it."""

import contextlib
import errno

from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.kernel.cgroupfs import CgroupDir


def kill(cgroup: CgroupDir) -> None:
    """SIGKILL every process below, frozen and stopped ones too; a gone cgroup is a killed one."""
    with contextlib.suppress(CgroupGoneError):
        cgroup.kill()


def remove(parent: CgroupDir, name: str) -> bool:
    """Remove an empty child and what is nested in it; False while something still lives there."""
    try:
        with parent.child(name) as cgroup:
            for nested in cgroup.children():
                if not remove(cgroup, nested):
                    return False
        parent.remove_child(name)
    except CgroupGoneError:
        return True
    except CgroupError as e:
        if e.errno == errno.EBUSY:
            return False
        raise
    return True
