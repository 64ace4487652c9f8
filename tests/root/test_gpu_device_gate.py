"""The device gate on a real kernel, with the major number of /dev/zero for a GPU's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.errors import UnavailableError
from agentcg.gpu.device_gate import SET, DeviceGate
from agentcg.kernel import probe_bpf
from agentcg.kernel.bpffs import Pins
from agentcg.kernel.cgroupfs import CgroupDir
from tests.root.bpf import pins_in
from tests.root.daemon import ENTER
from tests.root.gpu import GPU, KEEPS, OPEN, device_in, lease

pytestmark = pytest.mark.root

OTHER = "/dev/ptmx"
DIES = """
import os, signal, sys
from pathlib import Path
from agentcg.gpu.device_gate import DeviceGate
from agentcg.kernel.bpffs import Pins
from agentcg.kernel.cgroupfs import CgroupDir
pool = CgroupDir.open(Path(sys.argv[1]))
gate = DeviceGate(pool, Pins(Path(sys.argv[2])), lambda: {int(sys.argv[3])})
gate.start([int(one) for one in sys.argv[4:]])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module", autouse=True)
def _can() -> None:
    found = {one.name: one for one in probe_bpf.mechanisms(Path("/sys"))}["bpf"]
    if not found.works:
        assert "AGENTCG_IN_VM" not in os.environ, found.detail
        pytest.skip(found.detail)


@pytest.fixture
def gate(cgroup_root: CgroupDir, pins: Pins) -> Iterator[DeviceGate]:
    made = DeviceGate(cgroup_root, pins, lambda: {GPU})
    assert made.probe() is None
    made.start([])
    yield made
    made.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    with device_in(tmp_path) as path:
        yield path


def opens(where: CgroupDir, path: Path | str) -> bool:
    words = ["sh", "-c", ENTER, str(where.path), sys.executable, "-c", OPEN, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "PermissionError: [Errno 1]" in done.stderr, done.stderr
    return done.returncode == 0


def test_only_a_lease_opens_the_device(
    cgroup_root: CgroupDir, gate: DeviceGate, device: Path
) -> None:
    with cgroup_root.make("call") as leaf, cgroup_root.make("other") as other:
        with leaf.make("nested") as nested:
            assert not opens(leaf, device)
            assert (gate.refused(leaf), gate.refused(other)) == (1, 0)
            assert opens(leaf, OTHER)
            gate.hold(lease(), leaf)
            gate.hold(lease(name="g-2"), leaf)
            assert opens(leaf, device)
            assert not opens(other, device)
            gate.release(lease(), leaf)
            assert opens(nested, device)
            gate.release(lease(name="g-2"), leaf)
            gate.release(lease(), leaf)
            assert not opens(nested, device)
        os.close(os.open(device, os.O_RDWR))  # who is not below the pool


def test_what_is_open_stays_open_when_the_lease_ends(
    cgroup_root: CgroupDir, gate: DeviceGate, device: Path
) -> None:
    with cgroup_root.make("call") as leaf:
        gate.hold(lease(), leaf)
        words = ["sh", "-c", ENTER, str(leaf.path), sys.executable, "-c", KEEPS, str(device)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"open\n"
            gate.release(lease(), leaf)
            assert not opens(leaf, device)
            holder.communicate(b"\n", timeout=60)
        assert holder.returncode == 0


def test_a_killed_daemon_leaves_it_and_the_next_one_adopts_it(
    cgroup_root: CgroupDir, pins: Pins, device: Path
) -> None:
    with cgroup_root.make("kept") as kept, cgroup_root.make("ended") as ended:
        words = [sys.executable, "-c", DIES, str(cgroup_root.path), str(pins.base), str(GPU)]
        subprocess.run([*words, str(kept.id), str(ended.id)], timeout=60, check=False)
        assert opens(kept, device)
        assert opens(ended, device)
        assert not opens(cgroup_root, device)
        before = pins.sets()
        gate = DeviceGate(cgroup_root, pins, lambda: {GPU})
        gate.start([kept.id])
        assert pins.sets() == before
        assert set(before) == {SET}
        assert opens(kept, device)
        assert not opens(ended, device)
        gate.close()
        gate.close()
        assert pins.sets() == {}
        assert opens(ended, device)
        with pytest.raises(UnavailableError, match="start it first"):
            gate.hold(lease(), kept)


def test_a_pool_made_again_is_gated_again(cgroup_root: CgroupDir, pins: Pins, device: Path) -> None:
    with cgroup_root.make("pool") as pool:
        DeviceGate(pool, pins, lambda: {GPU}).start([])
    # Not closed: its link outlives the pool, and gates nothing.
    cgroup_root.remove_child("pool")
    with cgroup_root.make("pool") as pool:
        gate = DeviceGate(pool, pins, lambda: {GPU})
        gate.start([])
        assert not opens(pool, device)
        gate.close()
        assert opens(pool, device)


def test_the_programs_of_others_stay_in_force(
    cgroup_root: CgroupDir, gate: DeviceGate, device: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    with cgroup_root.make("container") as leaf, pins_in(theirs) as pins:
        runtime = DeviceGate(leaf, pins, lambda: {5})
        runtime.start([])
        gate.hold(lease(), leaf)
        assert opens(leaf, device)
        assert not opens(leaf, OTHER)
        gate.close()
        assert not opens(leaf, OTHER)
        runtime.close()
        assert opens(leaf, OTHER)


def test_a_driver_that_is_loaded_late_is_gated_with_the_next_lease(
    cgroup_root: CgroupDir, pins: Pins, device: Path
) -> None:
    majors: set[int] = set()
    gate = DeviceGate(cgroup_root, pins, lambda: majors)
    assert "no NVIDIA device" in (gate.probe() or "")
    gate.start([])
    with cgroup_root.make("call") as leaf, cgroup_root.make("other") as other:
        assert opens(other, device)
        majors.add(GPU)
        gate.hold(lease(), leaf)
        assert not opens(other, device)
        majors.clear()
        gate.hold(lease(), leaf)
        assert opens(other, device)
    gate.close()
