"""Calls by `acg run` against a real daemon: own leaves, exit codes, nothing left behind."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.root.daemon import ACG, Daemon, alive, cgroup_of, scale, until

pytestmark = pytest.mark.root

WHERE = "grep ^0:: /proc/self/cgroup"


def _leaf(text: str) -> str:
    return text.strip().rpartition("/")[2]


@pytest.mark.timeout(900)
def test_every_sequential_call_has_its_own_leaf_and_none_is_left(daemon: Daemon) -> None:
    count = scale(300, 10_000)
    script = f'for i in $(seq {count}); do "$0" run -- {WHERE}; done'
    out, _ = daemon.inside("sh", "-c", script, str(ACG), stdout=PIPE).communicate(timeout=800)
    lines = out.splitlines()
    assert len(lines) == count
    assert len({_leaf(line) for line in lines}) == count
    assert all("/agentcg.calls/c-" in line for line in lines)
    until(lambda: not daemon.leaves(), "the last leaf to go")


@pytest.mark.timeout(900)
def test_concurrent_calls_each_have_their_own_leaf(daemon: Daemon) -> None:
    workers, each = scale(16, 64), scale(20, 100)
    script = f'for i in $(seq {each}); do "$0" run -- {WHERE}; done'

    def worker(_: int) -> str:
        return daemon.inside("sh", "-c", script, str(ACG), stdout=PIPE).communicate(timeout=800)[0]

    with ThreadPoolExecutor(workers) as pool:
        lines = [line for out in pool.map(worker, range(workers)) for line in out.splitlines()]
    assert len(lines) == workers * each
    assert len({_leaf(line) for line in lines}) == workers * each
    assert all("/agentcg.calls/c-" in line for line in lines)
    until(lambda: not daemon.leaves(), "the last leaf to go")


@pytest.mark.parametrize("code", [0, 1, 42, 125, 255])
def test_exit_codes_pass_through_and_are_recorded(daemon: Daemon, code: int) -> None:
    run = daemon.acg("--call-id", "k", "--", "sh", "-c", f"exit {code}")
    assert run.wait(30) == code
    until(lambda: not daemon.leaves(), "the leaf to go")
    [call] = daemon.history()
    assert call["state"] == "closed"
    assert call["outcome"]["cause"] == "exited"
    assert call["outcome"]["exit_code"] == code


def test_a_signal_reaches_the_command_and_is_recorded(daemon: Daemon) -> None:
    run = daemon.acg("--", "sleep", "60")
    until(daemon.leaves, "the leaf")
    until(lambda: "agentcg.calls" in cgroup_of(run.pid), "placement")
    run.send_signal(signal.SIGTERM)
    assert run.wait(30) == -signal.SIGTERM
    until(lambda: not daemon.leaves(), "the leaf to go")
    [call] = daemon.history()
    assert call["outcome"]["signal"] == signal.SIGTERM
    assert "SIGTERM" in call["outcome"]["advice"]


ESCAPES = {
    "setsid": "setsid sleep 1000 & exit 0",
    "double fork": "( ( sleep 1000 & ) & ); exit 0",
    "stopped": "sleep 1000 & kill -STOP $!; exit 0",
    "tree": "for i in 1 2 3 4 5 6 7 8; do sh -c 'sleep 1000 & sleep 1000' & done; exit 0",
    "ignores signals": "trap '' TERM INT HUP; sleep 1000 & exit 0",
}


@pytest.mark.parametrize("script", ESCAPES.values(), ids=ESCAPES.keys())
def test_nothing_outlives_a_call_that_is_to_be_killed(daemon: Daemon, script: str) -> None:
    run = daemon.acg("--", "sh", "-c", script)
    assert run.wait(30) == 0
    until(daemon.leaves, "the call to linger")
    [leaf] = daemon.leaves()
    pids = [int(p) for p in (daemon.calls / leaf / "cgroup.procs").read_text().split()]
    assert pids
    until(lambda: not daemon.leaves(), "the leaf to go")
    assert not any(alive(pid) for pid in pids)
    assert daemon.call(leaf)["outcome"]["left_behind"] >= len(pids)


def test_a_call_that_never_ends_dies_at_its_deadline(daemon: Daemon) -> None:
    started = time.monotonic()
    run = daemon.acg("--deadline", "1s", "--", "sh", "-c", "sleep 1000 & sleep 1000")
    assert run.wait(30) == -signal.SIGKILL
    assert time.monotonic() - started < 5
    until(lambda: not daemon.leaves(), "the leaf to go")
    [call] = daemon.history()
    assert call["outcome"]["cause"] == "deadline"
    assert "1 s" in call["outcome"]["advice"]


def test_kill_freeze_and_thaw_act_on_the_whole_tree(daemon: Daemon) -> None:
    run = daemon.acg("--", "sh", "-c", "sleep 1000 & sleep 1000")
    until(lambda: "agentcg.calls" in cgroup_of(run.pid), "placement")
    [leaf] = daemon.leaves()
    frozen = daemon.ask("POST", f"/v1/calls/{leaf}/freeze")
    assert frozen.json()["call"]["state"] == "frozen"
    assert "frozen 1" in (daemon.calls / leaf / "cgroup.events").read_text()
    assert daemon.ask("POST", f"/v1/calls/{leaf}/thaw").json()["call"]["state"] == "running"
    daemon.ask("POST", f"/v1/calls/{leaf}/freeze")
    daemon.ask("POST", f"/v1/calls/{leaf}/kill")
    assert run.wait(30) == -signal.SIGKILL
    until(lambda: not daemon.leaves(), "the leaf to go")
    assert daemon.call(leaf)["outcome"]["cause"] == "request"


def test_the_same_call_id_is_the_same_call(daemon: Daemon) -> None:
    body = {"tool": "bash", "call_id": "toolu_01", "command": "make"}
    first = daemon.ask("POST", "/v1/sessions/one/calls", body)
    again = daemon.ask("POST", "/v1/sessions/one/calls", body)
    assert first.json()["call"]["id"] == again.json()["call"]["id"]
    run = daemon.acg("--call-id", "toolu_01", "--", "sh", "-c", WHERE, stdout=PIPE)
    out, _ = run.communicate(timeout=10)
    assert _leaf(out) == first.json()["call"]["id"]


@pytest.mark.parametrize("daemon", [{"calls": {"start_within": 0.5}}], indirect=True)
def test_a_grant_that_is_not_used_in_time_is_taken_back(daemon: Daemon) -> None:
    made = daemon.ask("POST", "/v1/sessions/one/calls", {"tool": "bash"}).json()["call"]["id"]
    until(lambda: not daemon.leaves(), "the leaf to go")
    until(lambda: daemon.call(made)["state"] == "closed", "the call to close")
    assert daemon.call(made)["outcome"]["cause"] == "never-started"


def test_bad_options_are_named_and_the_command_does_not_run(daemon: Daemon, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    run = daemon.acg("--memory", "12zz", "--", "touch", str(witness), stderr=PIPE)
    _, words = run.communicate(timeout=10)
    assert run.returncode == 125
    assert "12zz" in words
    assert not witness.exists()


def test_without_a_daemon_commands_run_at_once(daemon: Daemon) -> None:
    daemon.stop()
    started = time.monotonic()
    assert daemon.acg("--", "sh", "-c", "exit 7").wait(30) == 7
    assert time.monotonic() - started < 1
    daemon.start()


def test_a_call_id_stays_taken_after_its_call_closed(daemon: Daemon) -> None:
    body = {"tool": "bash", "call_id": "toolu_1"}
    path = "/v1/sessions/one/calls"
    made = daemon.ask("POST", path, body).json()["call"]
    assert daemon.ask("POST", path, body).json()["call"]["id"] == made["id"]
    assert daemon.ask("DELETE", f"/v1/calls/{made['id']}").status_code == 200
    again = daemon.ask("POST", path, body).json()["call"]
    assert (again["id"], again["state"]) == (made["id"], "closed")
    assert daemon.leaves() == []
    # Another session of that name starts anew.
    assert daemon.ask("DELETE", "/v1/sessions/one").status_code == 200
    daemon.open("one")
    assert daemon.ask("POST", path, body).json()["call"]["id"] != made["id"]


def test_a_command_that_ran_without_a_call_is_counted_and_told(daemon: Daemon) -> None:
    # A process with children cannot be moved without tearing it apart.
    script = 'sleep 0.2 & exec "$0" run -- grep ^0:: /proc/self/cgroup'
    run = daemon.inside("sh", "-c", script, str(ACG), stdout=PIPE)
    out, _ = run.communicate(timeout=20)
    assert run.returncode == 0
    assert out.strip().endswith("/agentcg.agent")
    assert daemon.ask("GET", "/v1/host").json()["counters"]["fail_opens"] == 1
    assert "agent.unmanaged" in daemon.log
    assert "has children" in daemon.log
