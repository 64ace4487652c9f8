"""The real mini-swe-agent in a session of a real daemon, with a scripted model behind HTTP."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.root.chat import serving
from tests.root.daemon import REPO, Daemon, until

pytestmark = pytest.mark.root

SCRIPT = (
    "grep ^0:: /proc/self/cgroup; echo $AGENTCG_CALL",
    "AGENT_RESOURCE_HINT=deadline:400ms sleep 61",
    "AGENT_RESOURCE_HINT=memory:lots echo ran all the same",
    "sleep 62",
    "sleep 300 & echo in the background",
    "sleep 63; echo too late",
    "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo the answer",
)


def config(tmp_path: Path) -> Path:
    found = subprocess.run(
        [sys.executable, "-c", "import minisweagent.config as c; print(c.builtin_config_dir)"],
        env={**os.environ, "MSWEA_SILENT_STARTUP": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    made = yaml.safe_load((Path(found.stdout.strip()) / "mini.yaml").read_text())
    made["environment"] |= {
        "environment_class": "agentcg.integrations.mini_swe_agent.AgentcgEnvironment",
        "call": {"pids": 77},
        "timeout": 4,
    }
    made["model"] |= {
        "model_class": "tests.root.mini.LocalModel",
        "cost_tracking": "ignore_errors",
    }
    file = tmp_path / "agent.yaml"
    file.write_text(yaml.safe_dump(made))
    return file


def test_each_action_is_a_call_and_the_model_is_told_why_one_was_killed(
    daemon: Daemon, tmp_path: Path
) -> None:
    options = ["--yolo", "--exit-immediately", "-m", "scripted", "-t", "mend it"]
    files = ["-c", str(config(tmp_path)), "-o", str(tmp_path / "run.json")]
    with serving(SCRIPT) as model, (tmp_path / "out").open("w") as out:
        env = {**os.environ, "MODEL_URL": model.url, "MSWEA_CONFIGURED": "true", "TERM": "dumb"}
        env |= {"MSWEA_GLOBAL_CONFIG_DIR": str(tmp_path), "PYTHONPATH": str(REPO)}
        program = (sys.executable, "-m", "minisweagent.run.mini", *options, *files)
        with daemon.inside(
            *program, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        ) as harness:
            until(lambda: len(model.requests) == 4, "the fourth turn", 40)
            until(daemon.leaves, "its call")
            (leaf,) = daemon.leaves()
            until(lambda: daemon.call(leaf)["state"] == "running", "its command")
            assert daemon.ask("POST", f"/v1/calls/{leaf}/kill").status_code == 200
            assert harness.wait(40) == 0, (tmp_path / "out").read_text()
    calls = sorted(daemon.history(), key=lambda call: call["declared_at"])
    assert [call["intent"]["command"] for call in calls] == list(SCRIPT)
    assert {(call["intent"]["tool"], call["intent"]["pids"]) for call in calls} == {("bash", 77)}
    assert calls[1]["intent"]["deadline"] == 0.4
    causes = [call["outcome"]["cause"] for call in calls]
    assert causes == ["exited", "deadline", "exited", "request", "exited", "exited", "exited"]
    assert daemon.leaves() == []
    # What the model was sent after each command.
    assert model.requests[0]["messages"][-1]["content"].find("mend it") > 0
    told = [json.loads(model.told(turn)) for turn in range(1, 7)]
    words = [one["output"] for one in told]
    assert f"/agentcg.calls/{calls[0]['id']}\n{calls[0]['id']}\n" in words[0]
    assert "agentcg:" not in words[0]
    assert "agentcg: Killed at its deadline of 400 ms" in words[1]
    assert "ask for a deadline of 800 ms" in words[1]
    assert words[2].startswith("ran all the same\n\nagentcg: AGENT_RESOURCE_HINT memory 'lots'")
    assert "agentcg: Killed on request" in words[3]
    assert words[4] == "in the background\n"
    assert "timed out after 4 seconds" in told[5]["exception_info"]
    assert "the answer" in (tmp_path / "run.json").read_text()
