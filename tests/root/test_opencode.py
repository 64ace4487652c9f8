"""opencode's plugin in a session of a real daemon; node plays opencode."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentcg.harness.wiring import wired
from tests.root.daemon import ACG, REPO, RUN, Daemon

pytestmark = pytest.mark.root

HOST = str(REPO / "tests/root/opencode_host.mjs")
COMMANDS = (
    'grep ^0:: /proc/self/cgroup; echo $BASH_ENV; echo "it\'s" | cat',
    "AGENT_RESOURCE_HINT=deadline:300ms sleep 30",
    "AGENT_RESOURCE_HINT=memory:lots echo ran",
    "cd /usr && pwd; bash -c 'grep ^0:: /proc/self/cgroup'",
)


def play(daemon: Daemon, folder: Path, commands: Sequence[str], **env: str) -> list[str]:
    """What the model would read after each command."""
    ((url, options),) = wired({}, "opencode", str(folder / "acg"))["plugin"]
    argv = ("node", HOST, url, json.dumps(options), json.dumps(commands))
    made = {**os.environ, "TMPDIR": str(folder), **env}
    with daemon.inside(*argv, stdout=subprocess.PIPE, env=made) as host:
        out, _ = host.communicate(timeout=50)
    assert host.returncode == 0
    heard: list[str] = json.loads(out)
    return heard


@pytest.mark.covers("placement", "feedback", harness="opencode")
def test_a_command_is_a_call_and_the_model_is_told_why_it_was_killed(
    daemon: Daemon, tmp_path: Path
) -> None:
    for name in ("acg", "acg-shell"):
        (tmp_path / name).symlink_to(ACG)
    heard = play(daemon, tmp_path, COMMANDS)
    calls: dict[str, Any] = {call["intent"]["key"]: call for call in daemon.history()}
    assert [calls[f"call_{n}"]["intent"]["command"] for n in range(4)] == list(COMMANDS)
    places = [f"/agentcg.calls/{calls[key]['id']}" for key in ("call_0", "call_3")]
    assert heard[0].splitlines()[0].endswith(places[0])
    assert heard[0].splitlines()[1:] == ["", "it's"]
    assert "agentcg: Killed at its deadline of 300 ms" in heard[1]
    assert heard[2].startswith("ran\n\nagentcg: AGENT_RESOURCE_HINT memory 'lots'")
    assert heard[3].splitlines()[0] == "/usr"
    assert heard[3].splitlines()[1].endswith(places[1])


@pytest.mark.parametrize("missing", ["client", "daemon"])
def test_commands_run_without_a_client_or_a_daemon(
    daemon: Daemon, tmp_path: Path, missing: str
) -> None:
    theirs = tmp_path / "theirs.sh"
    theirs.write_text("export THEIRS=kept\n")
    if missing == "daemon":
        (tmp_path / "acg-shell").symlink_to(ACG)
        daemon.stop()
        for name in ("admin.sock", "agent/sock"):
            (RUN / name).unlink(missing_ok=True)
    heard = play(daemon, tmp_path, COMMANDS[::3], BASH_ENV=str(theirs))
    assert heard[0].splitlines()[1:] == [str(theirs), "it's"]
    assert heard[1].startswith("/usr\n")
    if missing == "client":
        assert daemon.history() == []
