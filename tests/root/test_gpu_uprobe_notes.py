"""Notes of allocations: each goes with what it is of, and one lease has not all of them."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel.bpf_object import Program
from agentcg.kernel.bpf_run import Command
from agentcg.kernel.cgroupfs import CgroupDir
from tests.gpu.tenants import Device
from tests.root.daemon import until
from tests.root.gpu import MIB, PAIRS, comes, lease, used, watching

pytestmark = pytest.mark.root

QUOTA = 100 * MIB
PER_LEASE, SHARED = 896, 130048
NOTES = PER_LEASE + QUOTA // (2 * MIB)
PROCESSES = 128
BEYOND = 100
CHILDREN = 50
# Of 200 one, as a rule, has two threads that are the last; emulated they would take a minute.
CROWD = 30 if "AGENTCG_IN_VM" in os.environ else 200


def notes(guard: UprobeGuard, leaf: CgroupDir) -> int:
    account = guard.account(leaf)
    assert account is not None
    return int(account.notes)


def shared(guard: UprobeGuard, put: int | None = None) -> int:
    """How many notes are beyond their lease's own room; they are taken to be so many."""
    one = next(iter(guard._probed._programs.values()))._parent
    section, offset, size = one._variable("shared")
    with one.map(section) as values:
        raw = values.lookup(bytes(4))
        assert raw is not None
        if put is not None:
            number = put.to_bytes(size, "little")
            values.update(bytes(4), raw[:offset] + number + raw[offset + size :])
        return int.from_bytes(raw[offset : offset + size], "little")


def fill(guard: UprobeGuard, leaf: CgroupDir) -> None:
    """As if it had all it can have."""
    account = guard.account(leaf)
    assert account is not None
    account.notes = NOTES + PROCESSES
    guard._accounts._map.update(leaf.id.to_bytes(8, "little"), bytes(account))


def test_they_go_and_no_lease_takes_those_of_others(cgroup_root: CgroupDir, tmp_path: Path) -> None:
    device = Device(tmp_path, 1000 * MIB)
    with (
        watching() as guard,
        cgroup_root.make("many") as leaf,
        cgroup_root.make("few") as other,
    ):
        for one in (leaf, other):
            guard.hold(lease(QUOTA), one)
        with device.tenant(leaf) as tenant:
            for take, give in PAIRS:
                number = tenant.does(f"take {take} {MIB}")
                assert notes(guard, leaf) == 1 + 1, take
                assert tenant.does(f"give {give} {number}") == "0"
                assert notes(guard, leaf) == 1, take  # the process
            number = tenant.does(f"take cuMemCreate {MIB}")
            assert tenant.does(f"map {number} {MIB}") == "0"
            assert tenant.does(f"give cuMemRelease {number}") == "0"
            assert notes(guard, leaf) == 1 + 2
            assert tenant.does(f"unmap {number}") == "0"
            assert notes(guard, leaf) == 1
            for _ in range(3):  # the same number, given out anew
                assert tenant.does("reset") == "0"
                assert tenant.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
                assert notes(guard, leaf) == 1 + 1
        until(lambda: notes(guard, leaf) == 0, "the process's notes")
        account = guard.account(leaf)
        assert account is not None
        assert account.hidden == 0

        with device.tenant(leaf) as tenant, device.tenant(other) as meek:
            assert tenant.does(f"many {NOTES + BEYOND} 512") == str(NOTES + BEYOND)
            assert notes(guard, leaf) == NOTES
            assert used(guard, leaf) == (NOTES + BEYOND) * 512
            assert meek.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
            assert notes(guard, other) == 1 + 1
            assert shared(guard) == NOTES - PER_LEASE
        until(lambda: used(guard, leaf) == notes(guard, leaf) == 0, "what was noted, and not")
        until(lambda: shared(guard) == 0, "the room of all")


def test_a_lease_keeps_its_own_room_where_others_took_what_is_for_all(
    cgroup_root: CgroupDir, tmp_path: Path
) -> None:
    device = Device(tmp_path, 1000 * MIB)
    with watching() as guard, cgroup_root.make("call") as leaf:
        guard.hold(lease(QUOTA), leaf)
        with device.tenant(leaf) as tenant:
            assert tenant.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
            shared(guard, SHARED)
            assert tenant.does(f"many {PER_LEASE} 512") == str(PER_LEASE)
            assert notes(guard, leaf) == PER_LEASE
            assert used(guard, leaf) == MIB + PER_LEASE * 512
            assert tenant.does(f"fork {MIB}") == "0"
        until(lambda: used(guard, leaf) == notes(guard, leaf) == 0, "the end")
        assert shared(guard) == SHARED


def test_what_a_process_has_comes_back_once_whatever_ends_with_it(
    cgroup_root: CgroupDir, tmp_path: Path
) -> None:
    device = Device(tmp_path, 1000 * MIB)
    with watching() as guard, cgroup_root.make("call") as leaf:
        guard.hold(lease(QUOTA), leaf)
        with device.tenant(leaf) as tenant:
            assert tenant.does(f"take cuMemAlloc_v2 {50 * MIB}").isdigit()
            assert tenant.does(f"crowd {CROWD} 512") == str(CROWD)
            until(lambda: notes(guard, leaf) == 1 + 1, "the ends")
            assert used(guard, leaf) == 50 * MIB


def test_what_a_process_has_comes_back_where_many_end_at_once(
    cgroup_root: CgroupDir, tmp_path: Path
) -> None:
    device = Device(tmp_path, 1000 * MIB)
    with watching() as guard, cgroup_root.make("call") as leaf, ExitStack() as stack:
        guard.hold(lease(1000 * MIB), leaf)
        those = [stack.enter_context(device.tenant(leaf)) for _ in range(4)]
        for one in those:
            one.ask("crowd 10 512")
        for one in those:
            assert one.answer() == "10"
        guard.turn(time.monotonic())  # of some the kernel may not have told
        assert used(guard, leaf) == 0
        assert notes(guard, leaf) == 0


def test_an_end_that_goes_unheard_is_seen_to(
    cgroup_root: CgroupDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, 1000 * MIB)
    attach = Program.attach
    with ExitStack() as nothing, cgroup_root.make("call") as leaf:
        monkeypatch.setattr(
            Program, "attach", lambda one: nothing if one.name == "ended" else attach(one)
        )
        with watching() as guard, device.tenant(leaf) as tenant:
            guard.hold(lease(1000 * MIB), leaf)
            assert tenant.does("many 3 512") == "3"
            assert tenant.does("crowd 2 512") == "2"
            guard.turn(time.monotonic())
            assert used(guard, leaf) == 803 * 512  # the kernel told of no run that was left out
            monkeypatch.setattr(Command, "left_out", lambda _: 1)
            guard.turn(time.monotonic() + 2)
            assert used(guard, leaf) == 3 * 512
            assert notes(guard, leaf) == 4


def test_notes_go_with_the_lease(cgroup_root: CgroupDir, tmp_path: Path) -> None:
    device = Device(tmp_path, 1000 * MIB)
    with watching() as guard, cgroup_root.make("call") as leaf:
        guard.hold(lease(QUOTA), leaf)
        with device.tenant(leaf) as tenant:
            number = tenant.does(f"take cuMemAlloc_v2 {MIB}")
            assert tenant.does(f"many {NOTES} 512") == str(NOTES)
            guard.release(lease(), leaf)
            guard.hold(lease(QUOTA), leaf)
            assert tenant.does(f"give cuMemFree_v2 {number}") == "0"
            assert used(guard, leaf) == notes(guard, leaf) == 0
            assert tenant.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
            assert (used(guard, leaf), notes(guard, leaf)) == (MIB, 1 + 1)
        until(lambda: used(guard, leaf) == notes(guard, leaf) == 0, "the end")
        assert shared(guard) == 0


def test_a_process_whose_end_could_not_be_noted_takes_nothing(
    cgroup_root: CgroupDir, tmp_path: Path
) -> None:
    device = Device(tmp_path, 1000 * MIB)
    with watching() as guard, cgroup_root.make("call") as leaf:
        guard.hold(lease(QUOTA), leaf)
        with device.tenant(leaf) as tenant, device.tenant(leaf) as other:
            assert tenant.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
            fill(guard, leaf)
            assert tenant.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
            other.ask(f"take cuMemAlloc_v2 {MIB}")
            assert other.process.wait(30) == -signal.SIGKILL
            gate = comes(guard, lambda gate: gate.killed)
            assert (gate.pid, gate.lost) == (other.process.pid, True)
        until(lambda: used(guard, leaf) == 0, "the end")
    assert device.peak == 2 * MIB


def test_of_many_that_are_killed_at_once_not_each_is_told(
    cgroup_root: CgroupDir, tmp_path: Path
) -> None:
    device = Device(tmp_path, 1000 * MIB)
    with watching() as guard, cgroup_root.make("call") as leaf:
        guard.hold(lease(QUOTA), leaf)
        with device.tenant(leaf) as tenant:
            assert tenant.does(f"take cuMemAlloc_v2 {MIB}").isdigit()
            fill(guard, leaf)
            begun, told = time.monotonic(), 0
            for _ in range(CHILDREN):
                assert tenant.does(f"fork {MIB}") == f"error {signal.SIGKILL:d}"
                told += len(guard.turn(time.monotonic()))
            assert 0 < told <= (time.monotonic() - begun) / 0.1 + 10
        account = guard.account(leaf)
        assert account is not None
        assert account.killed == CHILDREN


def test_a_call_that_ends_in_an_exec_by_another_thread_goes_with_it(
    cgroup_root: CgroupDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA_EXEC", "/bin/true")
    device = Device(tmp_path, 1000 * MIB)
    with watching() as guard, cgroup_root.make("call") as leaf:
        guard.hold(lease(100 * MIB), leaf)
        with device.tenant(leaf) as tenant:
            tenant.ask(f"threads 1 {MIB}")  # by a thread that is not the first
            assert tenant.process.wait(30) == 0
        until(lambda: used(guard, leaf) == 0, "what the call was charged")
        account = guard.account(leaf)
        assert account is not None
        assert account.peak == MIB
