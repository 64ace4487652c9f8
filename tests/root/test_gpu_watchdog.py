"""Calls over their leases, in real cgroups; what they use is told by a fake driver."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.gpu import gates
from agentcg.gpu.overuse import Act
from agentcg.gpu.watchdog import Finding, Watchdog
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.nvml import Nvml
from tests.gpu.nvml import GIB, Driver
from tests.root.conftest import Spawn
from tests.root.daemon import until
from tests.unit.gpu.leases import lease

pytestmark = [pytest.mark.root, pytest.mark.any_kernel]
GRACE = 5.0


@pytest.fixture
def dog(nvml: Nvml) -> Iterator[Watchdog]:
    with CgroupDir.open(Path(os.environ["AGENTCG_TEST_ROOT"])) as top:
        one = Watchdog(nvml, top, GRACE, host_pids=lambda: True)
        yield one
        one.close()


def look(dog: Watchdog, nvml: Nvml, later: float = 0.0) -> dict[str, Finding]:
    readings = [replace(one, at=one.at + later) for one in nvml.read()]
    found = dog.look(readings, readings[0].at)
    return {one.share.leases[0]: one for one in found if one.share.leases}


def frozen(leaf: CgroupDir) -> bool:
    return leaf.read_keyed("cgroup.events")["frozen"] == 1


def test_stopped_then_killed_and_nobody_else(
    cgroup_root: CgroupDir, spawn: Spawn, driver: Driver, nvml: Nvml, dog: Watchdog
) -> None:
    assert dog.probe() is None
    hog, meek, stranger = spawn(), spawn(), spawn()
    with (
        cgroup_root.make("hog") as over,
        over.make("deep") as deep,
        cgroup_root.make("meek") as under,
    ):
        deep.move(hog)
        under.move(meek)
        dog.hold(lease("g-hog", 2 * GIB), over)
        dog.hold(lease("g-meek", 2 * GIB), under)
        used = [f"compute {meek} {GIB}", f"compute {stranger} {9 * GIB}", "compute 999999999 5"]
        driver.one(f"compute {hog} {2 * GIB}", *used)
        assert {one.act for one in look(dog, nvml).values()} == {Act.NONE}

        driver.one(f"compute {hog} {3 * GIB}", *used)
        found = look(dog, nvml)
        assert (found["g-hog"].act, found["g-meek"].act) == (Act.STOP, Act.NONE)
        assert (found["g-hog"].share.used, found["g-meek"].share.used) == (3 * GIB, GIB)
        until(lambda: frozen(over), "the hog to stop")
        # Within its grace, thawed by another, and with a clock that is set back.
        over.freeze(frozen=False)
        assert look(dog, nvml, GRACE / 2)["g-hog"].act is Act.NONE
        until(lambda: frozen(over), "it to be stopped again")
        assert look(dog, nvml, -3600)["g-hog"].act is Act.NONE

        assert look(dog, nvml, GRACE)["g-hog"].act is Act.KILL
        until(lambda: not over.populated(), "the hog to die")
        assert look(dog, nvml, GRACE)["g-hog"].act is Act.RESUME
        assert not frozen(under)
    assert [procfs.state(pid) in "SR" for pid in (meek, stranger)] == [True, True]


def test_goes_on_with_a_larger_lease(
    cgroup_root: CgroupDir, spawn: Spawn, driver: Driver, nvml: Nvml, dog: Watchdog
) -> None:
    pid = spawn()
    with cgroup_root.make("leaf") as leaf:
        leaf.move(pid)
        driver.one(f"compute {pid} {3 * GIB}")
        dog.hold(lease("g-1", 2 * GIB), leaf)
        assert look(dog, nvml)["g-1"].act is Act.STOP
        dog.hold(lease("g-1", 4 * GIB), leaf)
        assert look(dog, nvml, GRACE)["g-1"].act is Act.RESUME
        until(lambda: not frozen(leaf), "it to go on")


def test_unknown_use_stops_nobody(
    cgroup_root: CgroupDir, spawn: Spawn, driver: Driver, nvml: Nvml, dog: Watchdog
) -> None:
    pid = spawn()
    with cgroup_root.make("leaf") as leaf:
        leaf.move(pid)
        driver.one(f"compute {pid} -")
        dog.hold(lease("g-1", 1), leaf)
        found = look(dog, nvml)["g-1"]
        assert (found.act, found.share.used, found.share.unknown) == (Act.NONE, None, (pid,))


def test_a_number_that_was_given_again(
    cgroup_root: CgroupDir, spawn: Spawn, driver: Driver, nvml: Nvml, dog: Watchdog
) -> None:
    pid = spawn()
    with cgroup_root.make("leaf") as leaf:
        leaf.move(pid)
        driver.one(f"compute {pid} {9 * GIB}")
        dog.hold(lease("g-1", 1), leaf)
        # As if it was read an hour before.
        (reading,) = nvml.read()
        (found,) = dog.look([reading], reading.at + 3600)
        assert (found.act, found.share.used, found.share.unknown) == (Act.NONE, None, (pid,))


def test_its_end_lets_go_who_was_stopped(
    cgroup_root: CgroupDir, spawn: Spawn, driver: Driver, nvml: Nvml, dog: Watchdog
) -> None:
    pid = spawn()
    with cgroup_root.make("leaf") as leaf:
        leaf.move(pid)
        driver.one(f"compute {pid} {3 * GIB}")
        dog.hold(lease("g-1", GIB), leaf)
        assert look(dog, nvml)["g-1"].act is Act.STOP
        dog.close()
        until(lambda: not frozen(leaf), "it to go on")


def test_who_a_daemon_that_died_had_stopped_goes_on(
    cgroup_root: CgroupDir, spawn: Spawn, driver: Driver, nvml: Nvml, dog: Watchdog
) -> None:
    pid = spawn()
    with cgroup_root.make("leaf") as leaf:
        leaf.move(pid)
        driver.one(f"compute {pid} {3 * GIB}")
        dog.hold(lease("g-1", GIB), leaf)
        assert look(dog, nvml)["g-1"].act is Act.STOP
        gates.recover(leaf)  # as the next one does
        until(lambda: not frozen(leaf), "it to go on")


def test_a_leaf_that_has_gone(cgroup_root: CgroupDir, nvml: Nvml, dog: Watchdog) -> None:
    with cgroup_root.make("leaf") as leaf:
        dog.hold(lease("g-1", GIB), leaf)
        cgroup_root.remove_child("leaf")
        assert look(dog, nvml)["g-1"].share.used == 0
        dog.release(lease("g-1", GIB), leaf)


def test_only_where_pids_are_the_host_s(nvml: Nvml, driver: Driver) -> None:
    with CgroupDir.open(Path(os.environ["AGENTCG_TEST_ROOT"])) as top:
        assert "pid namespace" in (Watchdog(nvml, top, GRACE, lambda: False).probe() or "")
        driver.tell("driver 1")
        assert Watchdog(nvml, top, GRACE, lambda: True).probe() == "NVML tells of no GPU"
