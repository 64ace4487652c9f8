"""The daemon dies and comes back: nothing is lost, nothing is left."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.root.daemon import ACG, REPO, Daemon, cgroup_of, scale, until

pytestmark = pytest.mark.root


def test_running_calls_go_on_over_kill_9_and_end_properly(daemon: Daemon) -> None:
    run = daemon.acg("--call-id", "long", "--", "sh", "-c", "sleep 3; exit 9")
    until(lambda: "agentcg.calls" in cgroup_of(run.pid), "placement")
    [leaf] = daemon.leaves()
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert daemon.call(leaf)["state"] == "running"
    assert run.wait(30) == 9
    until(lambda: not daemon.leaves(), "the leaf to go")
    assert daemon.call(leaf)["outcome"]["exit_code"] == 9


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_call_that_ends_while_the_daemon_is_dead_says_that_it_is_not_known_how(
    daemon: Daemon, forgotten: bool
) -> None:
    run = daemon.acg("--", "sh", "-c", "sleep 0.5; exit 9")
    until(lambda: "agentcg.calls" in cgroup_of(run.pid), "placement")
    [leaf] = daemon.leaves()
    daemon.stop(signal.SIGKILL)
    if forgotten:
        # As if it had died between the placement and the next line of its journal.
        with contextlib.closing(sqlite3.connect(daemon.scratch / "state/journal.sqlite")) as db, db:
            [(record,)] = db.execute("SELECT record FROM call WHERE id = ?", (leaf,)).fetchall()
            blank = {"state": "declared", "started_at": None, "pid": None, "start_ticks": None}
            changed = json.dumps({**json.loads(record), **blank}).encode()
            db.execute("UPDATE call SET record = ? WHERE id = ?", (changed, leaf))
    assert run.wait(30) == 9
    daemon.start()
    until(lambda: not daemon.leaves(), "the leaf to go")
    assert daemon.call(leaf)["state"] == "closed"
    assert daemon.call(leaf)["outcome"]["cause"] == "unknown"


def test_a_deadline_holds_over_a_restart(daemon: Daemon) -> None:
    run = daemon.acg("--deadline", "2s", "--", "sleep", "1000")
    until(lambda: "agentcg.calls" in cgroup_of(run.pid), "placement")
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert run.wait(30) == -signal.SIGKILL


def test_leaves_and_sessions_that_no_record_knows_are_tidied(daemon: Daemon) -> None:
    daemon.stop(signal.SIGKILL)
    stray = daemon.calls / "c-stray"
    stray.mkdir()
    sleeper = subprocess.Popen(["sh", "-c", f"echo 0 > {stray}/cgroup.procs; exec sleep 1000"])
    until(lambda: "c-stray" in cgroup_of(sleeper.pid), "the stray")
    daemon.start()
    assert sleeper.wait(30) == -signal.SIGKILL
    until(lambda: not stray.exists(), "the leaf to go")


@pytest.mark.timeout(900)
def test_kill_9_at_random_moments_during_many_calls(daemon: Daemon, tmp_path: Path) -> None:
    kills = scale(6, 50)
    stop = tmp_path / "stop"
    script = (
        f'i=0; while [ ! -e {stop} ]; do i=$((i + 1)); "$0" run --call-id "k$i" -- '
        f'sh -c "sleep 0.0$((i % 9)); exit $((i % 7))" || [ $? = $((i % 7)) ] || echo bad $i; done'
    )
    agent = daemon.inside("sh", "-c", script, str(ACG), stdout=subprocess.PIPE)
    dice = random.Random(1)
    for _ in range(kills):
        time.sleep(dice.uniform(0.2, 1.2))
        daemon.stop(signal.SIGKILL)
        daemon.start()
    stop.touch()
    out, _ = agent.communicate(timeout=300)
    assert out == ""  # every command ran, with its own exit status
    until(lambda: not daemon.leaves(), "the last leaf to go")
    history = daemon.history()
    assert all(c["state"] == "closed" for c in history)
    # Those that came while no daemon was there ran unmanaged, the others are all accounted for.
    keys = [c["intent"]["key"] for c in history]
    assert len(keys) == len(set(keys))
    assert len(keys) > 5 * kills
    known = {"exited", "unknown", "never-started"}
    assert {c["outcome"]["cause"] for c in history} <= known
    for call in history:
        if call["outcome"]["exit_code"] is not None:
            assert call["outcome"]["exit_code"] == int(call["intent"]["key"][1:]) % 7


def test_stopping_leaves_the_host_as_it_was_found(daemon: Daemon) -> None:
    agent = daemon.inside("sleep", "1000")
    until(lambda: "agentcg.agent" in cgroup_of(agent.pid), "the agent")
    before = Path("/proc/self/mountinfo").read_text()
    assert daemon.ask("DELETE", "/v1/sessions/one").status_code == 200
    assert daemon.stop() == 0
    assert agent.wait(30) == -signal.SIGKILL  # an empty session's processes have no other home
    assert not (daemon.root / daemon.pool).exists()
    assert Path("/proc/self/mountinfo").read_text() == before
    daemon.start()


@pytest.mark.timeout(120)
def test_a_full_disk_stops_nothing(daemon: Daemon, tmp_path: Path) -> None:
    daemon.stop()
    state = tmp_path / "state"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(state)], check=True)
    try:
        daemon.start()
        daemon.open("two")
        filler = os.open(state / "filler", os.O_CREAT | os.O_WRONLY)
        with pytest.raises(OSError, match="space"):
            while True:
                os.write(filler, b"x" * 4096)
        os.close(filler)
        runs = [daemon.acg("--", "sh", "-c", "exit 4", name="two") for _ in range(40)]
        assert [r.wait(20) for r in runs] == [4] * 40
        until(lambda: not daemon.leaves("two"), "the leaves to go")
        counters = daemon.ask("GET", "/v1/host").json()["counters"]
        assert counters["journal_failed_writes"] > 0
        (state / "filler").unlink()
        assert daemon.acg("--", "true", name="two").wait(30) == 0
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)
    daemon.start()


def test_a_second_daemon_refuses_to_start_beside_a_living_one(daemon: Daemon) -> None:
    first = daemon.process
    assert first is not None
    command = [sys.executable, "-m", "agentcg.control.main", "--config"]
    second = subprocess.run(
        [*command, str(daemon.scratch / "agentcg.yaml")],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "another daemon listens" in second.stderr
    assert first.poll() is None
