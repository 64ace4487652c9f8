"""The probe on a real cgroup, and the process connector."""

import os
from collections.abc import Callable

import pytest

from agentcg.errors import UnsupportedError
from agentcg.kernel import cn_proc, pidfd, probe_uretprobe
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.probe import probe

pytestmark = pytest.mark.root
EXIT_GROUP = 231  # which the child makes
Spawn = Callable[..., int]


def test_probe_leaves_nothing_behind(cgroup_root: CgroupDir) -> None:
    host = probe(cgroup_root.path)
    assert cgroup_root.children() == []
    assert host.root == str(cgroup_root.path)
    assert host.cpus
    assert host.memory_total > 2**20
    for name in ("cgroup2", "cgroup.kill", "cgroup.freeze"):
        assert host.has(name), host.why_not(name)
    for mechanism in host.mechanisms.values():
        assert mechanism.detail
    assert all(name == mechanism.name for name, mechanism in host.mechanisms.items())


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="what is tried is of x86-64")
def test_probes_at_returns_kill_nobody_who_has_a_filter(sample: Object) -> None:
    del sample  # programs may be loaded
    assert probe_uretprobe.trouble() is None
    reason = probe_uretprobe.trouble(EXIT_GROUP) or ""
    assert "kill programs with a seccomp filter" in reason


async def test_process_connector_knows_the_status(spawn: Spawn) -> None:
    try:
        events = cn_proc.ExitEvents()
    except UnsupportedError as error:
        pytest.skip(error.message)
    with events:
        pid = spawn("sh", "-c", "sleep 0.2; exit 9")
        events.watch(pid)
        assert events.take(pid) is None
        events.watch(pid)
        fd = pidfd.open(pid)
        await pidfd.wait(fd)
        os.close(fd)
        os.waitpid(pid, 0)
        assert events.take(pid) == 9 << 8
        assert events.take(pid) is None
        assert events.lost == 0
