"""Kill a cgroup's whole subtree and remove it."""

import contextlib
import errno
import os
import select
import time

from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.kernel.cgroupfs import CgroupDir


def kill(cgroup: CgroupDir) -> None:
    """SIGKILL every process below, frozen and stopped ones too; a gone cgroup is a killed one."""
    with contextlib.suppress(CgroupGoneError):
        cgroup.kill()


def end(parent: CgroupDir, name: str, within: float) -> bool:
    """Kill all that is in a child, remove it; False if that takes longer than `within` s."""
    with contextlib.suppress(CgroupGoneError), parent.child(name) as cgroup:
        kill(cgroup)
        _wait(cgroup, within)
    return remove(parent, name)


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


def _wait(cgroup: CgroupDir, within: float) -> None:
    """Until nothing lives in it or below: killed processes take a moment to go."""
    events = cgroup.fd_of("cgroup.events", os.O_RDONLY)
    try:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        deadline = time.monotonic() + within
        while b"populated 0" not in os.pread(events, 4096, 0):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            poll.poll(left * 1000)
    except OSError as e:
        if e.errno != errno.ENODEV:  # removed by another
            raise CgroupError(
                cgroup.path / "cgroup.events", None, e.strerror or str(e), e.errno
            ) from e
    finally:
        os.close(events)
