"""Memory limits on a real kernel: who is killed, whose limit it was, and who lives on."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.cli.explain import sentences
from agentcg.model.call import Call, CallState
from agentcg.model.outcome import Cause, Level
from vm_tests.guest.containers import POOL, children
from vm_tests.guest.sandbox import EAT, MIB, Sandbox, field, number, sandbox, scale, until

pytestmark = pytest.mark.vm


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox("mem", budget={"memory": "600MiB", "guarantee": "128MiB"}) as made:
        yield made


@pytest.fixture
def agent(box: Sandbox) -> Iterator[subprocess.Popen[str]]:
    """Something that stands for the harness: it must survive everything here."""
    process = box.inside("sleep", "10000")
    yield process
    assert process.poll() is None, "the agent died"
    process.kill()
    process.wait()


@pytest.mark.usefixtures("agent")
def test_a_call_past_its_limit_dies_whole_and_alone(box: Sandbox) -> None:
    tree = f'sleep 10000 & sleep 10000 & exec python3 -c "{EAT.format(mib=200, hold=0)}"'
    with sandbox("beside") as other:
        witnesses = [
            box.run("--memory", "64MiB", "--", "sleep", "10000"),
            other.inside("sleep", "10000"),
            other.run("--memory", "64MiB", "--", "sleep", "10000"),
        ]
        for _ in range(scale(3, 100)):
            hog = box.run("--memory", "100MiB", "--", "sh", "-c", tree)
            view = box.ended(hog)
            assert hog.returncode == -signal.SIGKILL
            outcome = view.call.outcome
            assert outcome is not None
            assert (outcome.cause, outcome.level) == (Cause.OOM, Level.CALL)
            assert outcome.limit == outcome.level_limit == 100 * MIB
            assert outcome.peak is not None
            assert 90 * MIB < outcome.peak <= 100 * MIB
            told = " ".join(sentences(view))
            assert f"{view.call.id} in mem: sh -c" in told
            assert "The limit that was hit is its own limit (100 MiB)." in told
            assert "ask for a limit of 200 MiB" in told
            # The whole tree went: the leaf is gone, and those two with it.
            assert len(children(box.calls)) == 1
            assert [w.poll() for w in witnesses] == [None] * 3
        for witness in witnesses:
            witness.kill()
            witness.wait()
    assert number(box.path / "memory.max") == 600 * MIB


@pytest.mark.usefixtures("agent")
def test_calls_together_hit_their_cap_and_the_outcome_says_so(box: Sandbox) -> None:
    first = box.eat(300, "--call-id", "a", hold=60)
    cap = number(box.calls / "memory.max")
    assert cap < 600 * MIB
    leaf = until(lambda: next(box.calls.glob("c-*"), None), "the leaf")
    until(lambda: number(leaf / "memory.current") > 290 * MIB, "the first to hold its memory")
    second = box.eat(400, "--call-id", "b", hold=60)
    ended = until(lambda: [p for p in (first, second) if p.poll() is not None], "a kill", 60)
    assert ended[0].returncode == -signal.SIGKILL
    key = "a" if ended[0] is first else "b"
    call = box.by_key(key)
    assert call.outcome is not None
    assert (call.outcome.cause, call.outcome.level) == (Cause.OOM, Level.CALLS)
    told = " ".join(sentences(box.client.call(call.id)))
    assert "the limit of all calls of its session (" in told
    assert call.outcome.level_limit is not None
    assert call.outcome.level_limit <= cap
    assert "together" in told
    for process in (first, second):
        process.kill()
        process.wait()


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_undeclared_work_is_capped_and_the_harness_lives(box: Sandbox, pause: float) -> None:
    cap = number(box.agent / "memory.max")
    assert cap < 400 * MIB
    # The slow one grows over many looks of the daemon, which must not follow it.
    slowly = EAT.replace("b.append", f"time.sleep({pause}); b.append")
    hog = box.inside("python3", "-c", "import time\n" + slowly.format(mib=500, hold=0))
    assert hog.wait(60) == -signal.SIGKILL
    until(lambda: field(box.agent / "memory.events.local", "oom_kill") > 0, "the evidence")
    assert field(box.path / "memory.events.local", "oom") == 0


@pytest.mark.usefixtures("agent")
def test_a_fork_bomb_stays_inside_its_call(box: Sandbox) -> None:
    bomb = "f() { f | f & }; f; sleep 3; exit 0"
    run = box.run("--call-id", "bomb", "--pids", "64", "--", "sh", "-c", bomb)
    leaf = until(lambda: next(box.calls.glob("c-*"), None), "the leaf")
    until(lambda: field(leaf / "pids.events", "max") > 0, "the bomb to hit its limit", 60)
    assert number(leaf / "pids.current") <= 64
    run.wait(60)
    outcome = box.outcome("bomb")
    assert not leaf.exists()
    assert outcome.left_behind <= 64


def test_a_guarantee_survives_reclaim_from_above(box: Sandbox) -> None:
    # Not /tmp, which is a tmpfs: without swap its pages cannot be reclaimed.
    page = "f=/var/tmp/cache; head -c 100M /dev/zero > $f; sync; cat $f > /dev/null; sleep 10000"
    # No more than it uses: memory_recursiveprot lends the unused part of a guarantee to siblings.
    options = ("--guarantee", "80MiB", "--memory", "256MiB")
    kept = box.eat(80, "--call-id", "kept", *options, hold=10000)
    other = box.run("--call-id", "other", "--memory", "256MiB", "--", "sh", "-c", page)
    safe, prey = until(lambda: _pair(box), "two leaves")
    until(lambda: number(prey / "memory.current") > 90 * MIB, "the cache to fill", 60)
    until(lambda: number(safe / "memory.current") > 80 * MIB, "the call to hold its memory", 60)
    assert number(safe / "memory.min") == 80 * MIB
    before = number(safe / "memory.current")
    reclaim = os.open(POOL / "memory.reclaim", os.O_WRONLY)
    with contextlib.suppress(BlockingIOError):  # less than asked could be had: that is the point
        os.write(reclaim, str(90 * MIB).encode())
    os.close(reclaim)
    assert number(prey / "memory.current") < 40 * MIB
    assert number(safe / "memory.current") > 0.95 * before
    for process in (kept, other):
        process.kill()
        process.wait()


def _pair(box: Sandbox) -> tuple[Path, Path] | None:
    """The leaf with the guarantee, and the other."""
    leaves = sorted(box.calls.glob("c-*"), key=lambda p: -number(p / "memory.min"))
    if len(leaves) != 2 or not number(leaves[0] / "memory.min"):
        return None  # one is there, and not limited yet
    return leaves[0], leaves[1]


def test_limits_are_what_the_grant_says(box: Sandbox) -> None:
    options = ("--memory", "64MiB", "--pids", "50", "--weight", "77", "--cores", "1")
    run = box.run("--call-id", "knobs", *options, "--", "sh", "-c", "echo $MAKEFLAGS; sleep 60")

    def running() -> Call | None:
        calls = [v.call for v in box.client.calls() if v.call.intent.key == "knobs"]
        return calls[0] if calls and calls[0].state is CallState.RUNNING else None

    # Before, its leaf may be there and not limited yet.
    call = until(running, "the call to run")
    leaf = box.calls / call.id
    assert number(leaf / "memory.max") == 64 * MIB
    assert number(leaf / "memory.oom.group") == 1
    assert number(leaf / "pids.max") == 50
    assert number(leaf / "cpu.weight") == 77
    assert (leaf / "cpuset.cpus").read_text().strip() in ("0", "1")
    enforced = call.grant.enforced
    assert {k for k, v in enforced.items() if v == "ok"} >= {
        "memory.limit",
        "memory.guarantee",
        "memory.oom_group",
        "pids",
        "cpu.weight",
        "cpu.cores",
    }
    assert call.grant.env["MAKEFLAGS"] == "-j1"
    run.kill()
    run.wait()
