"""Scripted harnesses in a session of a real daemon: each process in its call's leaf."""

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentcg import units
from tests.players.verdict import Made, judge, leaf_of, told
from tests.root.daemon import ACG, REPO, RUN, Daemon, cgroup_of, scale, until
from tests.root.playing import PACE, finish, play

pytestmark = pytest.mark.root

Json = Any
HARNESSES = ("claude-code", "codex", "gemini", "openhands")
WITH_NESTED = [
    pytest.param(one, marks=[] if one == "gemini" else pytest.mark.covers("nested"))
    for one in HARNESSES
]


@pytest.fixture
def acg(tmp_path: Path) -> Path:
    """The client under both of its names."""
    for name in ("acg", "acg-shell"):
        (tmp_path / name).symlink_to(ACG)
    return tmp_path / "acg"


def made(daemon: Daemon) -> list[Made]:
    calls = daemon.history()
    return [Made(c["id"], c["intent"]["key"], c["intent"]["command"]) for c in calls]


def nothing_left(daemon: Daemon) -> None:
    until(lambda: not daemon.leaves(), "the last leaf to go")
    agent = daemon.home / "agentcg.agent/cgroup.procs"
    until(lambda: agent.read_text() == "", "the last process to go")


@pytest.mark.covers("placement", "background", "clean-up")
@pytest.mark.timeout(scale(60, 600))
@pytest.mark.parametrize("harness", WITH_NESTED)
def test_every_process_of_many_calls_was_in_the_leaf_of_its_call(
    daemon: Daemon, acg: Path, harness: str
) -> None:
    count = scale(20, 200)
    seen = finish(play(daemon, acg, harness, "many", count=count))
    nothing_left(daemon)
    assert len(seen["done"]) == count
    judge(seen["done"], made(daemon), f"/{daemon.pool}/keeper/one")
    assert {one["told"] for one in seen["done"]} == {""}
    figures = daemon.ask("GET", "/v1/host").json()["counters"]
    assert figures["hooks"] >= 2 * count + 1
    assert figures["hook_faults"] == 0


def test_every_command_of_claude_code_has_its_id_and_carries_cd_over(
    daemon: Daemon, acg: Path
) -> None:
    seen = finish(play(daemon, acg, "claude-code", "many", count=20))
    calls = {call["intent"]["key"]: call for call in daemon.history()}
    assert {one["key"] for one in seen["done"]} == set(calls)
    for one in seen["done"]:
        assert calls[one["key"]]["intent"]["tool"] == "Bash"
        # The wrapper is below the harness's own bookkeeping.
        if one["code"] == 0:
            went = "/usr" if "cd /usr" in one["command"] else str(REPO)
            assert Path(one["cwd"]).read_text().strip() == went
    nothing_left(daemon)


@pytest.mark.parametrize("harness", ["codex", "gemini", "openhands"])
def test_a_command_that_is_not_said_to_be_a_call_stays_in_the_agent(
    daemon: Daemon, acg: Path, harness: str
) -> None:
    seen = finish(play(daemon, acg, harness, "undeclared", count=2))
    agent = f"0::/{daemon.pool}/keeper/one/agentcg.agent"
    assert [leaf_of(one["out"]) for one in seen["done"]] == [agent, agent]
    assert daemon.history() == []


FIRST, SECOND = (
    f"Killed at its deadline of {units.format_duration(PACE + more)}" for more in (0, 2)
)


@pytest.mark.covers("feedback", "intent")
@pytest.mark.parametrize("harness", HARNESSES)
def test_the_model_is_told_why_once_and_of_the_background_later(
    daemon: Daemon, acg: Path, harness: str
) -> None:
    first, second, third, fourth, at_prompt, at_end = finish(play(daemon, acg, harness, "killed"))[
        "done"
    ]
    # Where no words get through after a tool, they come with the person's next prompt.
    once, later = (at_prompt, at_end) if harness == "openhands" else (first["told"], third["told"])
    if harness == "openhands":
        assert once.startswith("agentcg: the earlier command `")
        assert f"`: {FIRST}" in once
        assert {one["told"] for one in (first, second, third, fourth)} == {""}
    else:
        assert once.startswith(f"agentcg: {FIRST}")
        assert (second["told"], fourth["told"], at_prompt, at_end) == ("", "", "", "")
    assert later.startswith("agentcg: the earlier command `")
    assert f"`: {SECOND}" in later


def test_a_denied_call_leaves_nothing_and_a_wrong_hint_stops_nothing(
    daemon: Daemon, acg: Path
) -> None:
    _, wrong = finish(play(daemon, acg, "claude-code", "denied"))["done"]
    assert (wrong["code"], wrong["told"][:46]) == (
        0,
        "agentcg: AGENT_RESOURCE_HINT memory 'lots': 'l",
    )
    (call,) = daemon.history()
    assert call["intent"]["key"] == wrong["key"]


@pytest.mark.covers("clean-up")
@pytest.mark.parametrize("harness", ["codex", "gemini", "openhands"])
def test_what_a_call_left_behind_is_killed(daemon: Daemon, acg: Path, harness: str) -> None:
    finish(play(daemon, acg, harness, "left"))
    nothing_left(daemon)


@pytest.mark.covers("clean-up", harness="claude-code")
def test_what_an_interrupted_call_left_behind_is_killed(daemon: Daemon, acg: Path) -> None:
    finish(play(daemon, acg, "claude-code", "interrupted"))
    nothing_left(daemon)


@pytest.mark.covers("background")
@pytest.mark.parametrize("harness", HARNESSES)
def test_calls_outlive_the_harness_that_died_in_them(
    daemon: Daemon, acg: Path, harness: str
) -> None:
    count = 3
    player = play(daemon, acg, harness, "crash", count=count)
    assert player.wait(30) == -9
    assert player.stdout is not None
    player.stdout.close()
    leaves = daemon.leaves()
    assert len(leaves) == count
    assert {daemon.call(leaf)["state"] for leaf in leaves} == {"running"}
    nothing_left(daemon)
    outs = [str(one) for one in acg.parent.glob("*.out")]
    found = {leaf_of(out) for out in outs}
    assert found == {f"0::/{daemon.pool}/keeper/one/agentcg.calls/{leaf}" for leaf in leaves}
    # Four lines were written after the harness was gone.
    assert [len(told(out)) for out in outs] == [5] * count


def test_a_call_without_its_harness_can_be_killed(daemon: Daemon, acg: Path) -> None:
    player = play(daemon, acg, "claude-code", "crash", count=1)
    assert player.wait(30) == -9
    assert player.stdout is not None
    player.stdout.close()
    (leaf,) = daemon.leaves()
    pids = [int(p) for p in (daemon.calls / leaf / "cgroup.procs").read_text().split()]
    assert pids
    assert daemon.ask("POST", f"/v1/calls/{leaf}/kill").status_code == 200
    nothing_left(daemon)
    assert not any(cgroup_of(pid) for pid in pids)


@pytest.mark.covers("intent", harness="claude-code")
@pytest.mark.parametrize(
    "daemon",
    [{"hooks": {"rules": [{"command": "*pytest*", "cpu": {"class": "batch"}, "pids": 77}]}}],
    indirect=True,
)
def test_a_rule_of_the_configuration_fits_the_command_and_its_own_hint_wins(
    daemon: Daemon, acg: Path
) -> None:
    for number, command in enumerate(
        ("true # pytest", "AGENT_RESOURCE_HINT=pids:99 true # pytest")
    ):
        doc: Json = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "session_id": "s"}
        doc |= {"tool_use_id": f"t{number}", "tool_input": {"command": command}}
        hook = daemon.inside(str(acg), "hook", "claude-code", stdin=subprocess.PIPE)
        hook.communicate(json.dumps(doc), timeout=10)
        assert daemon.inside(f"{acg}-shell", f"eval '{command}'").wait(30) == 0
    first, second = sorted(daemon.history(), key=lambda call: call["intent"]["key"])
    assert (first["intent"]["cpu"]["cpu_class"], first["intent"]["pids"]) == ("batch", 77)
    assert (second["intent"]["cpu"]["cpu_class"], second["intent"]["pids"]) == ("batch", 99)


def test_a_hook_inside_a_call_announces_nothing(daemon: Daemon, acg: Path) -> None:
    doc = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "t"}
    text = json.dumps({**doc, "tool_input": {"command": "true"}})
    inside = f'printf %s "$1" | {acg} hook claude-code; {acg}-shell "eval \'true\'"'
    assert daemon.acg("--", "sh", "-c", inside, "sh", text).wait(30) == 0
    # Nor does it count for the agent afterwards.
    assert daemon.inside(f"{acg}-shell", "eval true").wait(30) == 0
    assert [call["intent"]["key"] for call in daemon.history()] == [None]
    assert RUN.exists()


def test_a_daemon_that_died_is_not_waited_for(daemon: Daemon) -> None:
    """As systemd does, somebody listens in its place."""
    daemon.stop(signal.SIGKILL)
    (RUN / "agent/sock").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(RUN / "agent/sock"))
        listener.listen()
        listener.setblocking(False)
        done = daemon.hook("claude-code", b"{}")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert daemon.acg("--", "sh", "-c", "exit 4").wait(30) == 4
        with pytest.raises(BlockingIOError):
            listener.accept()
