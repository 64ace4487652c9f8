"""The driver's limits, on a driver that keeps what it is told."""

from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

from agentcg.errors import BadValueError, UnavailableError
from agentcg.gpu.driver import DriverLimits
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.nvml import UNLIMITED, MemoryLimits, Nvml
from tests.gpu.nvml import ONE, Driver
from tests.unit.gpu.leases import folder, lease

FAILS = f"fail nvmlDeviceSetMemoryLimits_v1 {pynvml.NVML_ERROR_UNKNOWN}"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[CgroupDir]:
    with CgroupDir.open(folder(tmp_path, "cgroup")) as opened:
        yield opened


@pytest.fixture
def guard(nvml: Nvml, driver: Driver, root: CgroupDir) -> DriverLimits:
    driver.one(before=("limits",))
    return DriverLimits(nvml, root)


def test_probed_by_set_and_look(guard: DriverLimits, driver: Driver, root: CgroupDir) -> None:
    assert guard.probe() is None
    taken, cleared = driver.limits
    assert taken.split()[1:3] == ["268435456", "268435456"]
    assert cleared.split()[1:3] == ["0", str(2**64 - 1)]
    assert root.children() == []


def test_an_old_driver(guard: DriverLimits, driver: Driver, root: CgroupDir) -> None:
    driver.one()
    assert "cannot do it" in (guard.probe() or "")
    assert root.children() == []


def test_a_driver_that_takes_limits_and_drops_them(guard: DriverLimits, driver: Driver) -> None:
    driver.one(
        f"fail nvmlDeviceGetMemoryLimits_v1 {pynvml.NVML_ERROR_NOT_FOUND}", before=("limits",)
    )
    assert "shows None" in (guard.probe() or "")


def test_without_a_gpu(guard: DriverLimits, driver: Driver) -> None:
    driver.tell("limits")
    assert guard.probe() == "NVML tells of no GPU"


def test_held_changed_and_cleared(guard: DriverLimits, nvml: Nvml, root: CgroupDir) -> None:
    with root.make("leaf") as leaf:
        guard.hold(lease(memory=500), leaf)
        assert nvml.limits(ONE, leaf.path) == MemoryLimits(500, 500)
        guard.hold(lease(memory=400), leaf)
        assert nvml.limits(ONE, leaf.path) == MemoryLimits(400, 400)
        guard.release(lease(), leaf)
        assert nvml.limits(ONE, leaf.path) == UNLIMITED


def test_not_before_it_is_granted(guard: DriverLimits, root: CgroupDir) -> None:
    with root.make("leaf") as leaf, pytest.raises(BadValueError, match="g-1"):
        guard.hold(lease(gpu=None), leaf)


def test_the_end_clears_all(guard: DriverLimits, nvml: Nvml, root: CgroupDir) -> None:
    with root.make("a") as a, root.make("b") as b:
        guard.hold(lease("g-1"), a)
        guard.hold(lease("g-2"), b)
        guard.close()
        assert nvml.limits(ONE, a.path) == nvml.limits(ONE, b.path) == UNLIMITED


def test_what_a_killed_daemon_left(guard: DriverLimits, nvml: Nvml, root: CgroupDir) -> None:
    with root.make("left") as left, root.make("new") as new:
        guard.hold(lease(), left)
        DriverLimits(nvml, root).sweep([left, new])
        assert nvml.limits(ONE, left.path) == UNLIMITED
        assert nvml.limits(ONE, new.path) is None


def test_a_leaf_that_has_gone(guard: DriverLimits, driver: Driver, root: CgroupDir) -> None:
    with root.make("leaf") as leaf:
        guard.hold(lease(), leaf)
        driver.one(FAILS, before=("limits",))
        with pytest.raises(UnavailableError):
            guard.release(lease(), leaf)
        root.remove_child("leaf")
        guard.release(lease(), leaf)
