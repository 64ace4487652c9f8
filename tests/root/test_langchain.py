"""The real LangChain in a session of a real daemon: agent, tools and shell; the model is played."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.root.daemon import REPO, Daemon, until

pytestmark = pytest.mark.root

Json = Any


def play(daemon: Daemon, scenario: str) -> tuple[list[str], list[Json]]:
    """What the model was sent, and the calls that were made."""
    argv = (sys.executable, "-m", "tests.root.chain", scenario)
    with daemon.inside(*argv, stdout=subprocess.PIPE, cwd=REPO) as agent:
        out, _ = agent.communicate(timeout=50)
    assert agent.returncode == 0
    until(lambda: not daemon.leaves(), "the last leaf to go")
    calls = sorted(daemon.history(), key=lambda call: call["declared_at"])
    return json.loads(out), calls


@pytest.mark.parametrize("scenario", ["own_tool", "shell"])
def test_a_command_of_a_tool_is_a_call_and_the_model_is_told(daemon: Daemon, scenario: str) -> None:
    heard, calls = play(daemon, scenario)
    assert heard[0] == "go"
    assert heard[1].partition("\n")[0].endswith(f"/agentcg.calls/{calls[0]['id']}")
    assert "agentcg: Killed at its deadline of 300 ms" in heard[2]
    assert len(calls) == 3
    assert [call["outcome"]["cause"] for call in calls] == ["exited", "deadline", "exited"]
    if scenario == "own_tool":
        assert {call["intent"]["pids"] for call in calls} == {77}
        assert "agentcg: AGENT_RESOURCE_HINT memory 'lots'" in heard[3]
    else:
        assert heard[3] == "still there\n"


def test_a_shell_is_one_call_and_remembers_where_it_is(daemon: Daemon) -> None:
    heard, (call,) = play(daemon, "policy")
    leaf = f"/agentcg.calls/{call['id']}\n"
    assert heard[1].endswith(leaf)
    assert heard[2].startswith("/usr\n")
    assert heard[2].endswith(leaf)
    assert (call["intent"]["tool"], call["intent"]["pids"]) == ("chain", 99)
