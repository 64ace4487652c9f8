"""The scheduler: what cpu.weight and cpu.max promise, fork storms, hotplug, its end and successor.

Shares are of cpu.stat, so they do not depend on how fast the machine is. A machine that stands
still for a while loses periods of a quota: below it there is more tolerance than above.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.enforce.governor import SET, Governor
from agentcg.kernel import probe_bpf
from vm_tests.guest import cpu
from vm_tests.guest.sandbox import field, scale, until

pytestmark = pytest.mark.vm

STATE = Path("/sys/kernel/sched_ext/state")
CPU1 = Path("/sys/devices/system/cpu/cpu1/online")
SECONDS = scale(6, 30)


@pytest.fixture(scope="module")
def governor() -> Iterator[Governor]:
    found = {one.name: one for one in probe_bpf.mechanisms(Path("/sys"))}
    for name in ("sched_ext", "bpf.task_work"):
        if not found[name].works:
            pytest.skip(found[name].detail)
    with cpu.governed() as governor:
        yield governor


@pytest.fixture(autouse=True)
def _is_attached(governor: Governor) -> None:
    assert STATE.read_text().strip() == "enabled", governor.farewell()


def test_twice_the_weight_is_twice_the_time() -> None:
    with (
        cpu.groups(a="cpu.weight=200", b="cpu.weight=100"),
        cpu.burning("a", 2),
        cpu.burning("b", 2),
    ):
        a, b = cpu.used(SECONDS, "a", "b")
    assert a / b == pytest.approx(2, rel=0.03)


def test_a_quota_holds_for_all_below_it_and_beside_others() -> None:
    quotas = {"h": "cpu.max=80000 100000", "h_x": "cpu.max=30000 100000", "h_y": "", "b": ""}
    with cpu.groups(**quotas), cpu.burning("h_x", 1), cpu.burning("h_y", 3), cpu.burning("b", 2):
        h, x, b = cpu.used(SECONDS, "h", "h_x", "b")
        assert 0.2 < x < 0.31
        assert 0.6 < h < 0.82
        # What a quota leaves is for the others.
        assert b > 0.9
        (cpu.group("h") / "cpu.max").write_text("max")
        (h,) = cpu.used(2, "h")
    assert h > 0.9


def test_half_a_cpu_is_half_a_cpu() -> None:
    with cpu.groups(q="cpu.max=50000 100000"), cpu.burning("q", 4):
        (q,) = cpu.used(SECONDS, "q")
    assert 0.4 < q < 0.515


def test_who_waits_for_its_quota_can_be_frozen_moved_and_killed() -> None:
    # 1 ms in a second: almost always held.
    with cpu.groups(q="cpu.max=1000 1000000", b=""), cpu.burning("q", 3) as held:
        time.sleep(1)
        begun = time.monotonic()
        freezer = cpu.group("q") / "cgroup.freeze"
        freezer.write_text("1")
        until(lambda: field(cpu.group("q") / "cgroup.events", "frozen"), "the freeze")
        freezer.write_text("0")
        (cpu.group("b") / "cgroup.procs").write_text(str(held[0].pid))
        (cpu.group("q") / "cgroup.kill").write_text("1")
        for process in held[1:]:
            process.wait(30)
        assert time.monotonic() - begun < 5
        (b,) = cpu.used(1, "b")
    assert b > 0.8


def test_a_fork_storm_gets_no_more_than_its_share() -> None:
    with cpu.groups(a="", b=""), cpu.burning("b", 2), cpu.burning("a", 4, cpu.STORM):
        a, b = cpu.used(SECONDS, "a", "b")
    # Of what the two get: the kernel's own threads, which clean up behind a storm, are neither's.
    assert b >= 0.95 * (a + b) / 2


def test_a_cpu_may_go_and_come_back() -> None:
    with cpu.groups(q="cpu.max=50000 100000", b=""), cpu.burning("q", 4), cpu.burning("b", 2):
        time.sleep(0.5)
        try:
            CPU1.write_text("0")
            (q,) = cpu.used(2, "q")
        finally:
            CPU1.write_text("1")
        _, both = cpu.used(2, "q", "b")
    assert 0.3 < q < 0.55
    assert both > 0.9


def test_too_deep_a_cgroup_has_no_cpu_controller_and_harms_nobody() -> None:
    with cpu.groups(a="", b=""):
        deep = [cpu.group("a").joinpath(*"d" * n) for n in range(1, 40)]
        for path in deep:
            path.mkdir()
        with pytest.raises(OSError, match="Argument list too long"):
            _enable(cpu.group("a"), *deep)
        with cpu.burning("b", 1):
            (b,) = cpu.used(1, "b")
        for path in reversed(deep):
            path.rmdir()
    assert b > 0.8


def _enable(*cgroups: Path) -> None:
    for cgroup in cgroups:
        (cgroup / "cgroup.subtree_control").write_text("+cpu")


def test_another_version_takes_its_place(governor: Governor) -> None:
    governor.stop()
    # By a process that ends, as a daemon that is killed does.
    starts = "from vm_tests.guest import cpu; cpu.start()"
    subprocess.run([sys.executable, "-c", starts], check=True, timeout=60)
    (version,) = (cpu.PINS / SET).iterdir()
    version.rename(version.with_name("another"))
    with cpu.groups(q="cpu.max=50000 100000"), cpu.burning("q", 2), cpu.governed() as successor:
        assert successor.gap is not None
        assert successor.gap < 3
        (q,) = cpu.used(2, "q")
    assert 0.3 < q < 0.55
    until(lambda: STATE.read_text().strip() == "disabled", "the end")
