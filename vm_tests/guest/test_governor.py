"""The governor under the daemon: low priority stands still, high runs through, nobody is killed."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from agentcg.client import Client
from agentcg.errors import AgentcgError
from agentcg.kernel.bpf_records import PAGE, SECOND, Control
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import CallState
from agentcg.model.outcome import Cause
from vm_tests.guest.containers import POOL
from vm_tests.guest.governed import (
    CONFIG,
    ENABLED,
    PINS,
    POOL_SIZE,
    SCHEDULER,
    grow,
    id_of,
    kept,
    killed_for_memory,
    policy_of,
    restart,
    shared,
    standing,
    tally,
    tier_of,
)
from vm_tests.guest.sandbox import MIB, Sandbox, number, sandbox, scale, until

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def tier() -> Iterator[str]:
    """The tier that the host gives with the governor asked for; the pool is small meanwhile."""
    before = CONFIG.read_text()
    CONFIG.write_text(before + "\ngovernor: {enabled: true, burst: 4MiB}\n")
    subprocess.run(
        ["systemctl", "set-property", "--runtime", POOL.name, f"MemoryMax={POOL_SIZE}"], check=True
    )
    restart()
    with Client("/run/agentcg/admin.sock") as client:
        try:
            yield until(lambda: tier_of(client), "the daemon", 120)
        finally:
            CONFIG.write_text(before)
            unlimited = ["systemctl", "set-property", "--runtime", POOL.name, "MemoryMax=infinity"]
            subprocess.run(unlimited, check=True)
            restart()
            until(lambda: tier_of(client) == "T0", "the governor to be gone", 120)
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
    with grow(pair[0], 600, "--call-id", "hog") as process:
        yield process
        process.kill()


def test_a_low_call_stands_still_and_a_high_one_runs_through(pair: tuple[Sandbox, Sandbox]) -> None:
    low, high = pair
    killed = killed_for_memory()
    with grow(high, 10, "--call-id", "run", "--guarantee", "180MiB") as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "grown\n"
        with grow(low, 600, "--call-id", "hog") as hog:
            held = standing(low)
            # 85 % of the pool, less what high has not used yet of its guarantee.
            assert held < 0.85 * POOL_SIZE - 150 * MIB
            grants = {v.call.intent.key: v.call.grant for v in low.client.calls()}
            assert grants["hog"].enforced["memory.throttle"] == "ok"
            run.communicate("150\n", timeout=60)
            assert run.returncode == 0
            # Only now is there room, and the hog goes on; up to the pool's end, nobody is killed.
            more = standing(low)
            assert held < more < 0.85 * POOL_SIZE
            hog.send_signal(signal.SIGTERM)
            assert hog.wait(30) == -signal.SIGTERM
    assert killed_for_memory() == killed
    assert high.outcome("run").held == 0
    outcome = low.outcome("hog")
    assert outcome.cause is Cause.SIGNALLED
    assert outcome.held is not None
    assert outcome.held > 1


def test_what_is_held_can_be_frozen_moved_past_and_killed(
    pair: tuple[Sandbox, Sandbox], hog: "subprocess.Popen[str]"
) -> None:
    low, high = pair
    standing(low)
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
    low, high = pair
    held = standing(low)
    before = ENABLED.read_text()
    with grow(high, 1, "--call-id", "nests") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "grown\n"
        leaf = next(high.calls.glob("c-*"))
        nested = [leaf.joinpath(*["n"] * depth) for depth in range(1, 501)]
        for one in nested:
            one.mkdir()
        subprocess.run(["systemctl", "kill", "-s", "KILL", "agentcg.service"], check=True)
        until(lambda: tier_of(low.client) == "T1", "the next daemon", 120)
        assert ENABLED.read_text() == before
        assert hog.poll() is None
        assert number(low.calls / "memory.current") < held + 16 * MIB
        # All that was there belongs to the call, however deep, and without a controller.
        with shared("members") as members, CgroupDir.open(nested[-1]) as deepest:
            found = members.lookup(deepest.fileno().to_bytes(4, "little"))
        assert found is not None
        assert found[:8] == id_of(leaf)
        (nested[-1] / "cgroup.procs").write_text(str(process.pid))
        charges = tally(leaf).charges
        assert process.stdin is not None
        process.stdin.write("4\n")
        process.stdin.flush()
        assert process.stdout.readline() == "grown\n"
        assert tally(leaf).charges - charges >= 4 * MIB // (64 * PAGE)
        process.communicate(timeout=60)
        until(lambda: not leaf.exists(), "the leaf to go, with all that is in it", 60)


def test_a_silent_daemon_lets_everybody_go_and_a_restart_holds_again(
    pair: tuple[Sandbox, Sandbox], hog: "subprocess.Popen[str]"
) -> None:
    low, _ = pair
    standing(low)
    subprocess.run(["systemctl", "kill", "-s", "STOP", "agentcg.service"], check=True)
    with shared("controls") as controls:
        last = Control.from_buffer_copy(controls.lookup(bytes(4)) or b"")
        # What follows is the same after the 60 s that it would take.
        controls.update(bytes(4), bytes(Control(last.heartbeat, 2 * SECOND)))
    try:
        until(lambda: not SCHEDULER.exists(), "the scheduler to leave", 60)
        # Nothing but the native limits is left, and it runs into its own.
        assert hog.wait(60) == -signal.SIGKILL
    finally:
        subprocess.run(["systemctl", "kill", "-s", "CONT", "agentcg.service"], check=True)
    until(lambda: tier_of(low.client) == "T0", "the daemon to notice", 60)
    checks = {check.name: check for check in low.client.host().mechanisms}
    assert "the daemon is silent" in checks["governor"].detail
    restart()
    until(lambda: tier_of(low.client) == "T1", "the governor to be back", 120)


def test_a_guarantee_is_kept_free_from_its_grant_to_its_end(
    pair: tuple[Sandbox, Sandbox],
) -> None:
    _, high = pair
    assert kept() == 0
    words = ("sh", "-c", "sleep 100 & read x")
    keep = ("--guarantee", "180MiB", "--on-end", "keep", "--call-id", "keeps")
    with high.run(*keep, "--", *words, stdin=subprocess.PIPE) as process:
        leaf = until(lambda: next(high.calls.glob("c-*"), None), "the leaf")
        (view,) = high.client.calls()
        assert 170 * MIB < until(kept, "the sum") <= 180 * MIB
        high.client.patch(view.call.id, {"memory": {"guarantee": "90MiB"}})
        assert 80 * MIB < kept() <= 90 * MIB
        process.communicate("\n", timeout=30)
        until(lambda: high.client.call(view.call.id).call.state is CallState.LINGERING, "its end")
        policy = until(lambda: (p := policy_of(leaf)) and p.priority == -100 and p, "its terms")
        assert (policy.free, policy.kept, kept()) == (0, 0, 0)
    high.client.close(view.call.id)
    assert kept() == 0
    # What is not declared is on the lowest priority too, beyond what the harness needs.
    agent = policy_of(high.agent)
    assert agent is not None
    assert (agent.priority, agent.kept) == (-100, 0)
    assert agent.free * PAGE >= 64 * MIB


@pytest.mark.timeout(scale(300, 3600))
def test_calls_in_a_row_leave_nothing_behind(pair: tuple[Sandbox, Sandbox]) -> None:
    low, _ = pair
    one = "/usr/local/bin/acg run --guarantee 1MiB -- true"
    row = f"for n in $(seq {scale(30, 5000)}); do {one} || exit 1; done"
    with shared("policies") as policies, shared("tallies") as tallies:
        before = set(policies.keys())
        assert set(tallies.keys()) == before
        assert low.inside("sh", "-c", row).wait() == 0
        until(lambda: set(policies.keys()) == before, "the last leaf to go")
        assert set(tallies.keys()) == before
    assert kept() == 0


def test_where_the_map_is_full_a_call_runs_and_is_told(pair: tuple[Sandbox, Sandbox]) -> None:
    low, _ = pair
    with shared("policies") as policies:
        more = [n.to_bytes(8, "little") for n in range(1 << 40, (1 << 40) + policies.max_entries)]
        try:
            with contextlib.suppress(AgentcgError):
                for key in more:
                    policies.update(key, bytes(policies.value_size))
            with low.run("--guarantee", "1MiB", "--call-id", "full", "--", "true") as process:
                assert process.wait(60) == 0
        finally:
            for key in more:
                policies.delete(key)
    said = low.by_key("full").grant.enforced["memory.throttle"]
    assert said.startswith("unsupported: ")
    assert "No space left" in said
    assert kept() == 0


def test_where_nobody_can_go_on_one_call_gives_way(pair: tuple[Sandbox, Sandbox]) -> None:
    low, high = pair
    with grow(high, 100, "--call-id", "stays", "--guarantee", "180MiB") as stays:
        assert stays.stdout is not None
        assert stays.stdout.readline() == "grown\n"
        with grow(low, 600, "--call-id", "gives", "--on-pressure", "freeze") as hog:

            def frozen() -> bool:
                states = {v.call.intent.key: v.call.state for v in low.client.calls()}
                return states.get("gives") is CallState.FROZEN

            # First what it prefers; but a frozen call gives no memory back.
            until(frozen, "the hog to be frozen", 90)
            assert hog.wait(90) == -signal.SIGKILL
        stays.communicate("0\n", timeout=30)
        assert stays.returncode == 0
    outcome = low.outcome("gives")
    assert outcome.cause is Cause.PRESSURE
    assert "Killed to make room" in outcome.advice
    assert high.outcome("stays").cause is Cause.EXITED
