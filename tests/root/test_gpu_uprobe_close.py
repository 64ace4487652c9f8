"""The end of the guard on libcuda, with calls at its gate."""

import os
import select
from pathlib import Path

import pytest

from agentcg.gpu import gates
from agentcg.kernel.cgroupfs import CgroupDir
from tests.gpu.tenants import Device
from tests.root.gpu import MIB, comes, lease, watching

pytestmark = pytest.mark.root


@pytest.mark.parametrize("heard", [True, False])
def test_who_waits_is_denied_and_nobody_else_is_stopped(
    cgroup_root: CgroupDir, tmp_path: Path, heard: bool
) -> None:
    device = Device(tmp_path, 1000 * MIB)
    with watching() as guard, cgroup_root.make("call") as leaf:
        guard.hold(lease(100 * MIB), leaf)
        with device.tenant(leaf) as tenant, device.tenant(leaf) as other:
            assert other.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
            tenant.ask(f"take cuMemAlloc_v2 {102 * MIB}")
            if heard:
                comes(guard)
            else:
                assert select.select([guard.fd], [], [], 30)[0]
            guard.close()
            assert tenant.process.wait(30) == -9
            assert other.does(f"take cuMemAlloc_v2 {200 * MIB}").isdigit()


def test_a_mark_that_names_no_process_of_its_leaf_keeps_nobody_stopped(
    cgroup_root: CgroupDir,
) -> None:
    with cgroup_root.make("call") as leaf:
        gates.mark(leaf, (1 << 31, -4, os.getpid(), 0))
        leaf.freeze(frozen=True)
        assert gates.waiting(leaf) == (0,)
        gates.recover(leaf)
        assert leaf.read_keyed("cgroup.events")["frozen"] == 0
        with pytest.raises(OSError, match="No data"):
            gates.waiting(leaf)
