"""What processes had before libcuda was watched, by the driver's word."""

import select
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel.bpf_records import GpuBeforeRecord
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import LeaseState
from tests.gpu.tenants import Device, Tenant
from tests.root.daemon import until
from tests.root.gpu import MIB, comes, lease, used, watching

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def guard() -> Iterator[UprobeGuard]:
    with watching() as started:
        yield started


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path, 1000 * MIB)


@pytest.fixture
def leaf(guard: UprobeGuard, cgroup_root: CgroupDir) -> Iterator[CgroupDir]:
    with cgroup_root.make("call") as made:
        yield made
        guard.release(lease(), made)


def corrected(guard: UprobeGuard, leaf: CgroupDir, told: int) -> None:
    """As by the readings of half a second."""
    for _ in range(3):
        guard.correct({leaf.id: told}, time.monotonic())


def had(tenant: Tenant, size: int) -> str:
    """Taken where there is no lease yet."""
    number = tenant.does(f"take cuMemAlloc_v2 {size}")
    assert number.isdigit()
    return number


def test_what_was_there_before_counts_and_is_waited_for_no_longer_than_it_is_there(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        old = had(tenant, 60 * MIB)
        guard.hold(lease(100 * MIB), leaf)
        assert used(guard, leaf) == 0
        corrected(guard, leaf, device.used)
        assert used(guard, leaf) == 60 * MIB
        assert tenant.does(f"take cuMemAlloc_v2 {20 * MIB}").isdigit()
        assert used(guard, leaf) == 80 * MIB
        assert tenant.does(f"give cuMemFree_v2 {old}") == "0"  # which is not seen
        tenant.ask(f"take cuMemAlloc_v2 {70 * MIB}")

        def waits() -> bool:
            assert guard.turn(time.monotonic()) == []  # nobody is asked yet
            return leaf.read_int("cgroup.freeze") == 1

        until(waits, "the gate")
        corrected(guard, leaf, device.used)
        assert guard.turn(time.monotonic()) == []
        assert tenant.answer().isdigit()
        assert used(guard, leaf) == device.used == 90 * MIB


def test_without_the_drivers_word_a_gate_is_told_of_all_the_same(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        had(tenant, 60 * MIB)
        guard.hold(lease(100 * MIB), leaf)
        corrected(guard, leaf, device.used)
        tenant.ask(f"take cuMemAlloc_v2 {70 * MIB}")
        gate = comes(guard)
        assert (gate.asked, gate.used) == (70 * MIB, 60 * MIB)
        guard.deny(gate)
        assert tenant.process.wait(30) == -9


def test_what_waits_in_the_driver_is_not_taken_for_what_has_gone(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as old, device.tenant(leaf) as one, device.tenant(leaf) as other:
        had(old, 100 * MIB)
        guard.hold(lease(120 * MIB), leaf)
        corrected(guard, leaf, device.used)
        for taker in (one, other):
            taker.ask(f"take cuMemAlloc_v2 {30 * MIB}")

        def two() -> bool:
            account = guard.account(leaf)
            return account is not None and account.gated == 2

        until(two, "both at the gate")  # of which the first to be heard has the leaf frozen
        comes(guard)
        guard.hold(lease(130 * MIB), leaf)  # the first is let go, and frozen for the other
        assert device.used == 100 * MIB
        corrected(guard, leaf, device.used)
        assert used(guard, leaf) == 130 * MIB
        guard.hold(lease(160 * MIB), leaf)
        for taker in (one, other):
            assert taker.answer().isdigit()
        corrected(guard, leaf, device.used)
        assert used(guard, leaf) == device.used == 160 * MIB


def test_managed_memory_counts_wherever_it_is_and_hides_nothing_else(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        had(tenant, 60 * MIB)
        guard.hold(lease(100 * MIB), leaf)
        corrected(guard, leaf, device.used)
        managed = tenant.does(f"take cuMemAllocManaged {20 * MIB}")
        corrected(guard, leaf, 60 * MIB)  # the driver has it on the host
        assert used(guard, leaf) == 80 * MIB
        assert tenant.does(f"give cuMemFree_v2 {managed}") == "0"
        corrected(guard, leaf, device.used)
        account = guard.account(leaf)
        assert account is not None
        assert (account.used, account.before, account.hidden) == (60 * MIB, 60 * MIB, 0)


def test_after_a_restart_nothing_more_is_taken_until_the_driver_has_told(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as old, device.tenant(leaf) as busy:
        had(old, 100 * MIB)
        for number, size in enumerate((80 * MIB, 40 * MIB)):
            one = replace(lease(size, f"g-{number}"), state=LeaseState.ACTIVE)
            guard.hold(one, leaf)
        assert used(guard, leaf) == 120 * MIB
        busy.ask(f"pairs 1000 {MIB}")  # without end, as far as readings go

        def stopped() -> bool:
            assert guard.turn(time.monotonic()) == []
            return leaf.read_int("cgroup.freeze") == 1

        until(stopped, "the gate")
        corrected(guard, leaf, device.used)  # nothing moves meanwhile
        assert guard.turn(time.monotonic()) == []
        assert busy.answer().isdigit()
        assert used(guard, leaf) == 100 * MIB
        old.ask(f"take cuMemAlloc_v2 {30 * MIB}")
        gate = comes(guard)
        assert (gate.used, gate.quota) == (100 * MIB, 120 * MIB)
        guard.deny(gate)


def test_after_a_restart_without_readings_what_was_last_seen_counts(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    for number, size in enumerate((60 * MIB, 40 * MIB)):
        one = replace(lease(size, f"g-{number}"), state=LeaseState.ACTIVE, used=10 * MIB)
        guard.hold(one, leaf)
    assert used(guard, leaf) == 100 * MIB
    with device.tenant(leaf) as tenant:
        tenant.ask(f"take cuMemAlloc_v2 {60 * MIB}")
        said = tenant.process.stdout
        assert said is not None

        def goes_on() -> bool:
            guard.turn(time.monotonic() + 3)
            return bool(select.select([said], [], [], 0.1)[0])

        until(goes_on, "its leave")
        assert tenant.answer().isdigit()
        assert used(guard, leaf) == 80 * MIB


def test_what_is_taken_beside_a_correction_is_not_lost(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    guard.hold(lease(1000 * MIB), leaf)
    correct = guard._accounts._correct
    with device.tenant(leaf) as tenant, device.tenant(leaf) as other:
        for one in (tenant, other):
            one.ask(f"pairs 30000 {MIB}")
        size = 0
        for one in (tenant, other):
            assert one.process.stdout is not None
            while not select.select([one.process.stdout], [], [], 0)[0]:
                size = 0 if size else 50 * MIB
                correct.run(bytes(GpuBeforeRecord(leaf.id, size)))
            assert one.answer().isdigit()
        assert used(guard, leaf) == size
        correct.run(bytes(GpuBeforeRecord(leaf.id, 0)))
        assert used(guard, leaf) == device.used == 0
