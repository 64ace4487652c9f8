"""The governor under the daemon: low priority stands still, high runs through, nobody is killed."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.client import Client
from agentcg.errors import AgentcgError
from agentcg.model.outcome import Cause
from vm_tests.guest.containers import POOL
from vm_tests.guest.sandbox import MIB, Sandbox, field, number, sandbox, until

pytestmark = pytest.mark.vm

CONFIG = Path("/etc/agentcg/agentcg.yaml")
SCHEDULER = Path("/sys/kernel/sched_ext/root/ops")
ENABLED = Path("/sys/kernel/sched_ext/enable_seq")
PINS = Path("/sys/fs/bpf/agentcg/governor")
# Touches so many MiB, waits for a line if it is to, touches as many more as that says, and ends.
GROW = (
    "import sys\n"
    "b = []\n"
    "def grow(n):\n"
    "    for _ in range(n): b.append(bytearray(b'x' * 1048576))\n"
    "grow(int(sys.argv[1])); print('grown', flush=True)\n"
    "grow(int(sys.stdin.readline() or 0))"
)
POOL_SIZE = 480 * MIB


def _restart() -> None:
    subprocess.run(["systemctl", "restart", "agentcg.service"], check=True, timeout=180)


def _tier(client: Client) -> str:
    try:
        return client.host().tier
    except AgentcgError:
        return ""


@pytest.fixture(scope="module")
def tier() -> Iterator[str]:
    """The tier that the host gives with the governor asked for; the pool is small meanwhile."""
    before = CONFIG.read_text()
    CONFIG.write_text(before + "\ngovernor: {enabled: true, dead_man: 15s, burst: 4MiB}\n")
    subprocess.run(
        ["systemctl", "set-property", "--runtime", POOL.name, f"MemoryMax={POOL_SIZE}"], check=True
    )
    _restart()
    with Client("/run/agentcg/admin.sock") as client:
        try:
            yield until(lambda: _tier(client), "the daemon", 120)
        finally:
            CONFIG.write_text(before)
            unlimited = ["systemctl", "set-property", "--runtime", POOL.name, "MemoryMax=infinity"]
            subprocess.run(unlimited, check=True)
            _restart()
            until(lambda: _tier(client) == "T0", "the governor to be gone", 120)
    assert not SCHEDULER.exists()
    assert not PINS.exists()


@pytest.fixture
def pair(tier: str) -> Iterator[tuple[Sandbox, Sandbox]]:
    """A session of low priority and one of high, in a small pool."""
    if tier == "T0":
        with Client("/run/agentcg/admin.sock") as client:
            checks = {check.name: check for check in client.host().mechanisms}
        assert not checks["sched_ext"].works
        pytest.skip(checks["sched_ext"].detail)
    high = {"priority": 50, "budget": {"guarantee": "200MiB"}}
    with sandbox("low", priority=-50) as one, sandbox("high", **high) as two:
        yield one, two


@pytest.fixture
def hog(pair: tuple[Sandbox, Sandbox]) -> "Iterator[subprocess.Popen[str]]":
    """A call of low priority that would take all."""
    with _grow(pair[0], 600, "--call-id", "hog") as process:
        yield process
        process.kill()


@contextlib.contextmanager
def _grow(box: Sandbox, mib: int, *options: str) -> "Iterator[subprocess.Popen[str]]":
    words = ("--", "python3", "-c", GROW, str(mib))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with box.run(*options, *words, **pipes) as process:
        yield process


def _standing(box: Sandbox) -> int:
    """Wait until what its calls use has stopped growing; that much."""
    used = [0]

    def still() -> bool:
        time.sleep(1)
        used.append(number(box.calls / "memory.current"))
        return used[-1] > 100 * MIB and used[-1] - used[-2] < MIB

    until(still, "the hog to stand still", 60)
    return used[-1]


def _killed_for_memory() -> int:
    return field(POOL / "memory.events", "oom_kill")


def test_a_low_call_stands_still_and_a_high_one_runs_through(pair: tuple[Sandbox, Sandbox]) -> None:
    low, high = pair
    killed = _killed_for_memory()
    with _grow(high, 10, "--call-id", "run", "--guarantee", "180MiB") as run:
        assert run.stdin is not None
        assert run.stdout is not None
        assert run.stdout.readline() == "grown\n"
        with _grow(low, 600, "--call-id", "hog") as hog:
            held = _standing(low)
            # 85 % of the pool, less what high has not used yet of its guarantee.
            assert held < 0.85 * POOL_SIZE - 150 * MIB
            grants = {v.call.intent.key: v.call.grant for v in low.client.calls()}
            assert grants["hog"].enforced["memory.throttle"] == "ok"
            run.stdin.write("150\n")
            run.stdin.flush()
            assert run.wait(60) == 0
            # Only now is there room, and the hog goes on; up to the pool's end, nobody is killed.
            more = _standing(low)
            assert held < more < 0.85 * POOL_SIZE
            hog.send_signal(signal.SIGTERM)
            assert hog.wait(30) == -signal.SIGTERM
    assert _killed_for_memory() == killed
    assert high.outcome("run").held == 0
    outcome = low.outcome("hog")
    assert outcome.cause is Cause.SIGNALLED
    assert outcome.held is not None
    assert outcome.held > 1


def test_what_is_held_can_be_frozen_moved_past_and_killed(
    pair: tuple[Sandbox, Sandbox], hog: "subprocess.Popen[str]"
) -> None:
    low, high = pair
    _standing(low)
    leaf = next(low.calls.glob("c-*"))
    (view,) = low.client.calls()
    begun = time.monotonic()
    low.client.freeze(view.call.id)
    low.client.thaw(view.call.id)
    # Every write to cgroup.procs waits for a grace period, which a held task must not hold up.
    assert high.run("--", "true").wait(30) == 0
    assert time.monotonic() - begun < 5
    low.client.kill(view.call.id)
    assert hog.wait(30) == -signal.SIGKILL
    until(lambda: not leaf.exists(), "the leaf to go", 30)


def test_a_killed_daemon_lets_nobody_go_and_its_successor_adopts(
    pair: tuple[Sandbox, Sandbox], hog: "subprocess.Popen[str]"
) -> None:
    low, _ = pair
    held = _standing(low)
    before = ENABLED.read_text()
    subprocess.run(["systemctl", "kill", "-s", "KILL", "agentcg.service"], check=True)
    until(lambda: _tier(low.client) == "T1", "the next daemon", 120)
    assert ENABLED.read_text() == before
    assert hog.poll() is None
    assert number(low.calls / "memory.current") < held + 16 * MIB


def test_a_silent_daemon_lets_everybody_go_and_a_restart_holds_again(
    pair: tuple[Sandbox, Sandbox], hog: "subprocess.Popen[str]"
) -> None:
    low, _ = pair
    _standing(low)
    subprocess.run(["systemctl", "kill", "-s", "STOP", "agentcg.service"], check=True)
    try:
        until(lambda: not SCHEDULER.exists(), "the scheduler to leave", 60)
        # Nothing but the native limits is left, and it runs into its own.
        assert hog.wait(60) == -signal.SIGKILL
    finally:
        subprocess.run(["systemctl", "kill", "-s", "CONT", "agentcg.service"], check=True)
    until(lambda: _tier(low.client) == "T0", "the daemon to notice", 60)
    _restart()
    until(lambda: _tier(low.client) == "T1", "the governor to be back", 120)
