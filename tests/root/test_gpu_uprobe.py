"""libcuda's probes on a real kernel, with a library that only counts."""

import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel.cgroupfs import CgroupDir
from tests.gpu.tenants import LIBRARY, Device
from tests.root.daemon import until
from tests.root.gpu import MIB, PAIRS, comes, lease, used, watching

pytestmark = pytest.mark.root

TIMEOUT = 600.0


@pytest.fixture(scope="module")
def started() -> Iterator[UprobeGuard]:
    """One for all: to detach from each function takes the kernel its time."""
    with watching(TIMEOUT) as guard:
        yield guard


@pytest.fixture
def leaf(cgroup_root: CgroupDir) -> Iterator[CgroupDir]:
    with cgroup_root.make("call") as made:
        yield made


@pytest.fixture
def guard(started: UprobeGuard, leaf: CgroupDir) -> Iterator[UprobeGuard]:
    started.hold(lease(100 * MIB), leaf)
    yield started
    started.release(lease(), leaf)
    started.turn(time.monotonic())


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path, 1000 * MIB)


@pytest.mark.parametrize("form", ["dlsym", "proc", "path"])
def test_each_function_is_counted_however_it_is_found(
    guard: UprobeGuard, leaf: CgroupDir, device: Device, form: str
) -> None:
    number = ""
    with leaf.make("below") as below, device.tenant(below, form) as tenant:
        for take, give in PAIRS:
            number = tenant.does(f"take {take} {MIB}")
            assert number.isdigit(), (take, number)
            assert used(guard, leaf) == device.used > 0, take
            assert tenant.does(f"give {give} {number}") == "0"
            assert used(guard, leaf) == device.used == 0, take
        assert tenant.does(f"give cuMemFree_v2 {number}") == "error 1"
        assert guard.turn(time.monotonic()) == []


def test_what_fails_is_not_counted(guard: UprobeGuard, leaf: CgroupDir, tmp_path: Path) -> None:
    device = Device(tmp_path, 10 * MIB)
    with device.tenant(leaf) as tenant:
        assert tenant.does(f"take cuMemAlloc_v2 {20 * MIB}") == "error 2"
        assert used(guard, leaf) == 0


@pytest.mark.parametrize(
    "ways",
    [
        ("unmap", "give cuMemRelease"),
        ("give cuMemRelease", "unmap"),
        ("retain", "unmap", "give cuMemRelease", "give cuMemRelease"),
    ],
)
def test_physical_memory_counts_until_the_last_of_handles_and_mappings(
    guard: UprobeGuard, leaf: CgroupDir, device: Device, ways: tuple[str, ...]
) -> None:
    with device.tenant(leaf) as tenant:
        number = tenant.does(f"take cuMemCreate {MIB}")
        assert tenant.does(f"map {number} {MIB}") == "0"
        for way in ways:
            assert used(guard, leaf) == device.used == MIB
            assert tenant.does(f"{way} {number}") == "0"
        assert used(guard, leaf) == device.used == 0


def test_what_a_contexts_end_frees_is_not_counted_twice(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        for _ in range(3):
            assert tenant.does(f"take cuMemAlloc_v2 {40 * MIB}").isdigit()
            assert used(guard, leaf) == device.used == 40 * MIB
            assert tenant.does("reset") == "0"


def test_sizes_count_as_the_driver_rounds_them(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        for how, size in (
            ("cuMemAlloc_v2", 1),
            ("cuMemAlloc_v2", MIB + 1),
            ("cuArrayCreate_v2", 4),
        ):
            assert tenant.does(f"take {how} {size}").isdigit()
        assert used(guard, leaf) == device.used == 512 + 2 * MIB + (64 << 10)


def test_threads_and_children_count_and_an_end_gives_all_back(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        assert tenant.does(f"threads 8 {MIB}") == "8"
        assert used(guard, leaf) == 8 * MIB
        assert tenant.does(f"fork {MIB}") == "0"
        assert device.peak == 9 * MIB
        until(lambda: used(guard, leaf) == 8 * MIB, "the child's memory")
        account = guard.account(leaf)
        assert account is not None
        assert (account.gated, account.killed) == (0, 0)
    until(lambda: used(guard, leaf) == 0, "the process's memory")


def test_a_gated_call_goes_on_when_there_is_more(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        assert tenant.does(f"take cuMemAlloc_v2 {90 * MIB}").isdigit()
        tenant.ask(f"take cuMemAlloc_v2 {20 * MIB}")
        gate = comes(guard)
        assert (gate.asked, gate.used, gate.quota) == (20 * MIB, 90 * MIB, 100 * MIB)
        assert gate.pid == tenant.process.pid
        assert not gate.killed
        assert leaf.read_int("cgroup.freeze") == 1
        assert device.peak == 90 * MIB
        guard.hold(lease(105 * MIB), leaf)  # not enough
        assert leaf.read_int("cgroup.freeze") == 1
        assert device.peak == 90 * MIB
        guard.hold(lease(110 * MIB), leaf)
        assert tenant.answer().isdigit()
        assert leaf.read_int("cgroup.freeze") == 0
        assert used(guard, leaf) == device.used == 110 * MIB


def test_the_leases_of_one_call_add_up(guard: UprobeGuard, leaf: CgroupDir, device: Device) -> None:
    second = lease(50 * MIB, "g-2")
    guard.hold(second, leaf)
    with device.tenant(leaf) as tenant:
        assert tenant.does(f"take cuMemAlloc_v2 {150 * MIB}").isdigit()
        guard.release(second, leaf)
        account = guard.account(leaf)
        assert account is not None
        assert (account.quota, account.used) == (100 * MIB, 150 * MIB)


def test_a_gated_call_is_killed_when_it_is_denied(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    for deny in (guard.deny, lambda gate: [one.late for one in guard.turn(gate.at + TIMEOUT)]):
        with device.tenant(leaf) as tenant:
            tenant.ask(f"take cuMemAlloc_v2 {102 * MIB}")
            assert deny(comes(guard)) in (True, [True])
            assert tenant.process.wait(30) == -9
            assert leaf.read_int("cgroup.freeze") == 0
    assert device.peak == 0


def test_threads_that_wait_together_go_on_together(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        tenant.ask(f"threads 8 {20 * MIB}")
        comes(guard)
        for size in (100, 120, 140, 160):
            assert device.peak <= size * MIB
            guard.hold(lease(size * MIB), leaf)
        # Those that the stop caught on their way there come to the door later.
        said = tenant.process.stdout
        assert said is not None
        while said.fileno() not in select.select([said.fileno(), guard.fd], [], [])[0]:
            guard.turn(time.monotonic())
        assert tenant.answer() == "8"
        assert used(guard, leaf) == device.peak == 160 * MIB
    account = guard.account(leaf)
    assert account is not None
    assert account.killed == 0


def test_who_comes_while_another_is_stopped_is_stopped_too(
    guard: UprobeGuard, leaf: CgroupDir, tmp_path: Path
) -> None:
    for _ in range(20):
        device = Device(tmp_path, 1000 * MIB)
        with device.tenant(leaf) as tenant:
            tenant.ask(f"threads 8 {20 * MIB}")
            guard.deny(comes(guard, lambda gate: gate.pid == tenant.process.pid))
            assert tenant.process.wait(30) == -signal.SIGKILL
        assert device.peak <= 100 * MIB


def test_who_is_continued_before_the_freeze_never_gets_its_answer(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        tenant.ask(f"take cuMemAlloc_v2 {102 * MIB}")
        assert select.select([guard.fd], [], [], 30)[0]
        while tenant.process.poll() is None:  # and nobody reads the events
            tenant.process.send_signal(signal.SIGCONT)
        assert tenant.answer() == ""
        assert tenant.process.returncode == -signal.SIGKILL
    gate = comes(guard, lambda gate: gate.killed)
    assert (gate.asked, gate.lost) == (102 * MIB, False)
    account = guard.account(leaf)
    assert account is not None
    assert (account.gated, account.killed, account.used, account.peak) == (1, 1, 0, 0)
    assert leaf.read_int("cgroup.freeze") == 0


def test_a_sibling_that_sends_sigcont_in_a_loop_gets_nothing_through(
    guard: UprobeGuard, leaf: CgroupDir, tmp_path: Path
) -> None:
    for _ in range(3):
        device = Device(tmp_path, 1000 * MIB)
        with device.tenant(leaf) as sibling, device.tenant(leaf) as tenant:
            assert tenant.does(f"take cuMemAlloc_v2 {60 * MIB}").isdigit()
            assert sibling.does(f"signals {tenant.process.pid}").isdigit()
            tenant.ask(f"take cuMemAlloc_v2 {60 * MIB}")
            guard.deny(comes(guard))  # by then it may have gone on, and been killed
            assert tenant.answer() == ""
            assert tenant.process.wait(30) == -signal.SIGKILL
        until(lambda: used(guard, leaf) == 0, "the end")
        # Where it won the race the driver took the memory, until the kill: no more than that.
        assert device.peak <= 120 * MIB


def test_others_are_left_alone(
    guard: UprobeGuard, cgroup_root: CgroupDir, leaf: CgroupDir, device: Device
) -> None:
    with cgroup_root.make("other") as other, device.tenant(other) as tenant:
        assert tenant.does(f"take cuMemAlloc_v2 {500 * MIB}").isdigit()
        assert guard.turn(time.monotonic()) == []
        assert used(guard, leaf) == 0


def test_a_copy_of_the_library_is_watched_once_it_is_found(
    guard: UprobeGuard, leaf: CgroupDir, device: Device, tmp_path: Path
) -> None:
    copy = tmp_path / "libcuda.so.580"
    shutil.copy(LIBRARY, copy)
    with device.tenant(leaf, "path", copy) as tenant:
        assert tenant.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
        assert used(guard, leaf) == 0

        def found() -> bool:
            guard.scan()
            tenant.does(f"take cuMemAlloc_v2 {MIB}")
            return used(guard, leaf) > 0

        until(found, "the copy")
        before = used(guard, leaf)
        tenant.does(f"take cuMemAlloc_v2 {MIB}")
        assert used(guard, leaf) - before == MIB
        guard.release(lease(), leaf)  # and is let go with the lease
        until(lambda: len(guard._probed._seen) == 1, "the copy's probes to go")


def test_who_waited_for_a_daemon_that_died_is_killed(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        tenant.ask(f"take cuMemAlloc_v2 {102 * MIB}")
        comes(guard)
        left = guard._leaves.pop(leaf.id)
        guard.hold(lease(100 * MIB), leaf)
        assert tenant.process.wait(30) == -9
        assert leaf.read_int("cgroup.freeze") == 0
        left.cgroup.close()


def test_who_came_to_the_door_of_a_lease_that_ended_does_not_stay_stopped(
    guard: UprobeGuard, leaf: CgroupDir, device: Device
) -> None:
    with device.tenant(leaf) as tenant:
        tenant.ask(f"take cuMemAlloc_v2 {102 * MIB}")
        assert select.select([guard.fd], [], [], 30)[0]
        guard._leaves.pop(leaf.id).cgroup.close()  # before its event was read
        guard.turn(time.monotonic())
        assert tenant.process.wait(30) == -9
