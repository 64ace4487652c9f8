"""Moving processes that do not stand still, on a real cgroup2."""

import subprocess
import sys

import pytest

from agentcg.enforce import place
from agentcg.kernel.cgroupfs import CgroupDir
from tests.root.daemon import until

pytestmark = pytest.mark.root

# Each forks the next and dies, so that nobody sees one twice: four of them, as long as the pipe is
# open.
STORM = (
    "import os, select\n"
    "for _ in range(2): os.fork()\n"
    "while not select.select([0], [], [], 0)[0]:\n"
    "    if os.fork(): os._exit(0)\n"
)


def start(cgroup: CgroupDir, program: str) -> "subprocess.Popen[bytes]":
    words = ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(cgroup.path)]
    return subprocess.Popen([*words, sys.executable, "-c", program], stdin=subprocess.PIPE)


def test_a_leaf_is_emptied_though_its_processes_fork_and_die(cgroup_root: CgroupDir) -> None:
    with cgroup_root.make("leaf") as leaf, cgroup_root.make("agent") as agent:
        with start(leaf, STORM) as storm:
            storm.wait(30)
            try:
                assert leaf.populated()
                assert place.vacate(leaf, agent)
                assert not leaf.populated()
                assert agent.populated()
                # They run there, not frozen.
                first = {*agent.pids()}
                until(lambda: not first & {*agent.pids()}, "others to come")
            finally:
                agent.kill()
                leaf.kill()
        until(lambda: not agent.populated(), "them to die")
        cgroup_root.remove_child("leaf")
