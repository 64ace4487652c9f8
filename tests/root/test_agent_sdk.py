"""The callbacks for the Claude Agent SDK in a session of a real daemon; the SDK is played."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.root.daemon import ACG, REPO, RUN, Daemon

pytestmark = pytest.mark.root

AGENT = """
import asyncio, json, os, subprocess, sys
from pathlib import Path
from agentcg.integrations import claude_agent_sdk as sdk

async def main():
    prefix = sdk.env(Path(sys.argv[1]))["CLAUDE_CODE_SHELL_PREFIX"]
    same = {"session_id": "s", "tool_name": "Bash", "tool_use_id": "toolu_1",
            "tool_input": {"command": "AGENT_RESOURCE_HINT=deadline:300ms sleep 61"}}
    told = [await sdk.hook({"hook_event_name": "SessionStart", "session_id": "s"}, None, {})]
    told.append(await sdk.hook({"hook_event_name": "PreToolUse", **same}, "toolu_1", {}))
    line = "eval " + repr(same["tool_input"]["command"])
    code = subprocess.run([prefix, line]).returncode
    failed = {"hook_event_name": "PostToolUseFailure", **same, "error": f"Exit code {code}"}
    told.append(await sdk.hook(failed, "toolu_1", {}))
    told.append(await sdk.hook({"hook_event_name": "Stop", "x": object()}, None, {}))
    print(json.dumps([code, told]))

asyncio.run(main())
"""


def play(daemon: Daemon, folder: Path) -> tuple[int, list[dict[str, dict[str, str]]]]:
    for name in ("acg", "acg-shell"):
        (folder / name).symlink_to(ACG)
    argv = (sys.executable, "-c", AGENT, str(folder / "acg"))
    with daemon.inside(*argv, stdout=subprocess.PIPE, cwd=REPO) as agent:
        out, _ = agent.communicate(timeout=90)
    assert agent.returncode == 0
    code, told = json.loads(out)
    return code, told


def test_a_command_is_a_call_and_the_model_is_told_why_it_was_killed(
    daemon: Daemon, tmp_path: Path
) -> None:
    code, told = play(daemon, tmp_path)
    assert code == -9
    answer = told[2]["hookSpecificOutput"]
    assert answer["hookEventName"] == "PostToolUseFailure"
    assert answer["additionalContext"].startswith("agentcg: Killed at its deadline of 300 ms")
    assert (told[1], told[3]) == ({}, {})
    (call,) = daemon.history()
    assert (call["intent"]["key"], call["outcome"]["cause"]) == ("toolu_1", "deadline")


def test_without_a_daemon_the_callbacks_say_nothing(daemon: Daemon, tmp_path: Path) -> None:
    text = AGENT.replace("sleep 61", "true")
    daemon.stop()
    for name in ("admin.sock", "agent/sock"):
        (RUN / name).unlink(missing_ok=True)
    (tmp_path / "acg-shell").symlink_to(ACG)
    argv = (sys.executable, "-c", text, str(tmp_path / "acg"))
    with daemon.inside(*argv, stdout=subprocess.PIPE, cwd=REPO) as agent:
        assert json.loads(agent.communicate(timeout=30)[0]) == [0, [{}, {}, {}, {}]]
