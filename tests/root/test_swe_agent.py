"""The hook of SWE-agent in a session of a real daemon; its loop and its shell are played."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.root.daemon import REPO, Daemon

pytestmark = pytest.mark.root


def play(daemon: Daemon, *actions: str) -> list[str]:
    words = (sys.executable, "-m", "tests.players.swe_agent")
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with daemon.inside(*words, cwd=REPO, **pipes) as player:
        out, _ = player.communicate(json.dumps(actions), timeout=50)
    assert player.returncode == 0
    heard: list[str] = json.loads(out)
    return heard


def test_the_shell_stays_and_a_hint_that_is_wrong_is_told(daemon: Daemon) -> None:
    first, second, third = play(
        daemon, "cd /usr; x=5", 'pwd; echo "$x"', "AGENT_RESOURCE_HINT=memory:lots echo ran"
    )
    assert (first, second) == ("", "/usr\n5")
    assert third.startswith("ran\nagentcg: AGENT_RESOURCE_HINT memory 'lots'")


def test_without_a_daemon_actions_run(daemon: Daemon) -> None:
    daemon.stop()
    assert play(daemon, "echo $((6 * 7))") == ["42"]
