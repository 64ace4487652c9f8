"""The governor in partial mode: calls alone are held, by their leave; nobody else is touched."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.client import Client
from agentcg.kernel.sched import SCHED_EXT
from agentcg.model.outcome import Cause, Level
from vm_tests.guest import containers
from vm_tests.guest.containers import POOL
from vm_tests.guest.governed import (
    CONFIG,
    POOL_SIZE,
    SCHEDULER,
    grow,
    restart,
    standing,
    tier_of,
)
from vm_tests.guest.sandbox import EAT, MIB, Sandbox, sandbox, until

pytestmark = pytest.mark.vm

# It leaves the scheduler of its calls, and then takes all that it gets.
LEAVE = "import os; os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))\n"
SPIN = "while :; do :; done"


@pytest.fixture(scope="module")
def tier() -> Iterator[str]:
    """The tier that the host gives with partial mode asked for; the pool is small meanwhile."""
    before = CONFIG.read_text()
    CONFIG.write_text(before + "\ngovernor: {enabled: true, partial: true, burst: 4MiB}\n")
    size = ["systemctl", "set-property", "--runtime", POOL.name]
    subprocess.run([*size, f"MemoryMax={POOL_SIZE}"], check=True)
    restart()
    with Client("/run/agentcg/admin.sock") as client:
        try:
            yield until(lambda: tier_of(client), "the daemon", 120)
        finally:
            CONFIG.write_text(before)
            subprocess.run([*size, "MemoryMax=infinity"], check=True)
            restart()
            until(lambda: tier_of(client) == "T0", "the governor to be gone", 120)
    assert not SCHEDULER.exists()


@pytest.fixture
def low(tier: str) -> Iterator[Sandbox]:
    """A session of low priority in a small pool."""
    if tier == "T0":
        with Client("/run/agentcg/admin.sock") as client:
            checks = {check.name: check for check in client.host().mechanisms}
        assert not checks["sched_ext"].works
        pytest.skip(checks["sched_ext"].detail)
    assert SCHEDULER.read_text().strip() == "agentcg_partial"
    with sandbox("low", priority=-50) as box:
        yield box


def ticks(pid: int) -> int:
    """Hundredths of seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def works(pid: int) -> bool:
    """Whether a process that never stops uses at least a quarter of a CPU."""
    before = ticks(pid)
    time.sleep(2)
    return ticks(pid) - before > 50


def policies(cgroup: Path) -> set[int]:
    """The scheduling policies of all that is in a cgroup."""
    return {os.sched_getscheduler(pid) for pid in containers.pids(cgroup)}


def leaf_of(box: Sandbox) -> Path:
    return until(lambda: next(box.calls.glob("c-*"), None), "the leaf")


def test_calls_are_held_and_nobody_else_is_touched(low: Sandbox) -> None:
    spin = ("/bin/sh", "-c", SPIN)
    with (
        containers.container(argv=spin, parent="system.slice") as stranger,
        low.inside("sleep", "600") as harness,
        grow(low, 600, "--call-id", "hog") as hog,
    ):
        assert standing(low) < 0.86 * POOL_SIZE
        leaf = leaf_of(low)
        assert policies(leaf) == {SCHED_EXT}
        (view,) = low.client.calls()
        assert "cooperative" in view.call.grant.enforced["memory.throttle"]
        checks = {check.name: check for check in low.client.host().mechanisms}
        assert "partial mode" in checks["governor"].detail
        # Neither what has no call, nor what is none of ours.
        assert os.sched_getscheduler(harness.pid) == os.SCHED_OTHER
        assert os.sched_getscheduler(stranger.pid) == os.SCHED_OTHER
        before = ticks(stranger.pid)
        begun = time.monotonic()
        subprocess.run(["python3", "-c", EAT.format(mib=64, hold=3)], check=True, timeout=60)
        assert ticks(stranger.pid) - before > 50 * (time.monotonic() - begun)
        assert hog.poll() is None
        low.client.kill(view.call.id)
        assert hog.wait(30) == -signal.SIGKILL
        harness.kill()


def test_who_leaves_meets_the_native_limits(low: Sandbox) -> None:
    # What is kept for the one makes the pool tight for the other, far below its limit.
    guarantee = {"priority": 50, "budget": {"guarantee": "240MiB"}}
    with (
        sandbox("high", **guarantee) as high,
        grow(high, 1, "--call-id", "keeps", "--guarantee", "240MiB"),
    ):
        until(lambda: list(high.calls.glob("c-*")), "its leaf")
        words = ("--memory", "160MiB", "--call-id")
        with grow(low, 200, *words, "stays") as stays:
            assert standing(low) < 150 * MIB
            stays.kill()
        low.outcome("stays")
        leaves = ("python3", "-c", LEAVE + EAT.format(mib=200, hold=0))
        with low.run(*words, "leaves", "--", *leaves) as process:
            assert process.wait(60) == -signal.SIGKILL
    outcome = low.outcome("leaves")
    assert (outcome.cause, outcome.level) == (Cause.OOM, Level.CALL)
    assert outcome.held == 0
    # And both live on.
    assert tier_of(low.client) == "T1"
    assert low.run("--", "true").wait(60) == 0


def test_an_ejected_scheduler_gives_all_back_to_the_kernels_own(low: Sandbox) -> None:
    with (
        low.run("--call-id", "spins", "--", "sh", "-c", f"({SPIN}) & wait") as spins,
        grow(low, 600, "--call-id", "hog") as hog,
    ):
        try:
            standing(low)
            assert {pid for leaf in low.calls.glob("c-*") for pid in policies(leaf)} == {SCHED_EXT}
            child = int(Path(f"/proc/{spins.pid}/task/{spins.pid}/children").read_text())
            Path("/proc/sysrq-trigger").write_text("S")
            until(lambda: tier_of(low.client) == "T0", "the daemon to notice", 60)
            assert not SCHEDULER.exists()
            assert works(child)
            # Nothing holds it any more but the pool's limit, which it may have met by now.
            hog.kill()
            assert hog.wait(30) == -signal.SIGKILL
            restart()
            until(lambda: tier_of(low.client) == "T1", "the governor to be back", 120)
            assert os.sched_getscheduler(child) == SCHED_EXT
            assert works(child)
        finally:
            spins.kill()
            hog.kill()
    assert spins.returncode == -signal.SIGKILL
