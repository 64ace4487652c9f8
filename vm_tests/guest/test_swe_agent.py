"""SWE-agent's loop with our hook, in a session whose undeclared commands are placed."""

import json
import subprocess
import sys

import pytest

from vm_tests.guest.containers import CGROUP
from vm_tests.guest.sandbox import sandbox

pytestmark = pytest.mark.vm

WHERE = (
    f"{sys.executable} -c 'import time; time.sleep(2); print(open(\"/proc/self/cgroup\").read())'"
)
ACTIONS = [
    "cd /usr",
    f"AGENT_RESOURCE_HINT=pids:77 {WHERE}; pwd",
    "AGENT_RESOURCE_HINT=deadline:3s sleep 60",
    "echo still there",
]


@pytest.mark.covers("placement", "intent", "feedback", harness="swe-agent")
def test_an_action_is_a_call_and_the_model_is_told_why_it_was_killed() -> None:
    with sandbox("swe-agent", undeclared="place") as host:
        words = (sys.executable, "-m", "tests.players.swe_agent")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with host.inside(*words, **pipes) as player:
            out, _ = player.communicate(json.dumps(ACTIONS), timeout=200)
        heard = json.loads(out)
        calls = {view.call.intent.command: view.call for view in host.client.calls(everything=True)}
        placed, killed = calls[ACTIONS[1]], calls[ACTIONS[2]]
        where = f"0::/{host.path.relative_to(CGROUP)}/agentcg.calls/{placed.id}"
        assert heard[1].split() == [where, "/usr"]
        assert placed.grant.pids == 77
        assert killed.outcome is not None
        assert "agentcg: Killed at its deadline of 3 s" in heard[2]
        assert heard[3] == "still there"
