"""Who waits at the gate of libcuda, and what else happens meanwhile."""

import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel.cgroupfs import CgroupDir
from tests.gpu.shimmed import SHIM
from tests.gpu.tenants import LIBRARY, Device
from tests.root.daemon import until
from tests.root.gpu import MIB, PAIRS, comes, lease, used, watching

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
        guard.hold(lease(100 * MIB), made)
        yield made
        guard.release(lease(), made)


def test_who_comes_while_a_turn_goes_on_is_told_by_it(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        begun = time.monotonic()
        tenant.ask(f"take cuMemAlloc_v2 {102 * MIB}")
        assert select.select([guard.fd], [], [], 30)[0]
        assert [gate.pid for gate in guard.turn(begun)] == [tenant.process.pid]


def test_who_was_killed_by_another_is_not_charged_by_a_verdict(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        tenant.ask(f"take cuMemAlloc_v2 {102 * MIB}")
        pid = comes(guard).pid
        os.kill(pid, signal.SIGKILL)
        # Nobody waits for it yet, as where its parent is frozen.
        until(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text(), "the zombie")
        guard.hold(lease(200 * MIB), leaf)
        assert used(guard, leaf) == 0
        guard.turn(time.monotonic())
        assert leaf.read_int("cgroup.freeze") == 0


def test_a_thread_that_is_continued_and_ends_inside_has_what_it_took_charged(
    guard: UprobeGuard, leaf: CgroupDir, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA_END", "1")
    with device.tenant(leaf) as tenant:
        tenant.ask(f"threads 1 {102 * MIB}")
        assert select.select([guard.fd], [], [], 30)[0]  # and nobody reads the event

        def went_on() -> bool:
            tenant.process.send_signal(signal.SIGCONT)
            return device.used > 0

        until(went_on, "its end")
        until(lambda: used(guard, leaf) == device.used, "what it took")
    until(lambda: used(guard, leaf) == 0, "the end of its process")


def test_what_goes_through_the_shim_counts_once(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    library = SHIM / LIBRARY.name
    with device.tenant(leaf, library=library) as tenant:
        assert tenant.does("total").isdigit()
        assert str(library) in Path(f"/proc/{tenant.process.pid}/maps").read_text()
        guard.scan()
        assert not guard._probed.add(library, whose=leaf.id)
        for take, give in PAIRS:
            number = tenant.does(f"take {take} {MIB}")
            assert used(guard, leaf) == device.used > 0, take
            assert tenant.does(f"give {give} {number}") == "0"
            assert used(guard, leaf) == device.used == 0, take
