"""A scripted harness of each dialect under the installed service, on a host with all controllers.

tests/root/test_hooks.py has the same on a bare kernel, and what the model is told.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentcg.harness.wiring import wired
from tests.players.__main__ import PLAYERS
from tests.players.verdict import Made, judge, leaf_of, told
from vm_tests.guest.containers import ACG, CGROUP, children, pids
from vm_tests.guest.sandbox import Sandbox, sandbox, scale, until

pytestmark = [pytest.mark.vm, pytest.mark.any_kernel]

COUNT = scale(10, 200)
PACE = 1.0
CRASHED = 2
# Gemini CLI's hooks say nothing of agents inside a conversation.
HARNESSES = [
    pytest.param(one, marks=[] if one == "gemini" else pytest.mark.covers("nested"))
    for one in PLAYERS
]


def _play(host: Sandbox, harness: str, scenario: str, folder: Path, count: int) -> Any:
    """Play a scenario to its end, with what the installer writes; None where it crashed."""
    words = ("-m", "tests.players", harness, scenario, str(folder), str(count), str(PACE))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with host.inside(sys.executable, *words, **pipes) as player:
        out, _ = player.communicate(json.dumps(wired({}, harness, ACG)), timeout=1500)
    return json.loads(out)["done"] if player.returncode == 0 else None


def _made(host: Sandbox) -> list[Made]:
    calls = [view.call for view in host.client.calls(everything=True)]
    mine = [call for call in calls if call.session == host.name]
    return [Made(call.id, call.intent.key, call.intent.command or "") for call in mine]


def _nothing_left(host: Sandbox) -> None:
    until(lambda: not children(host.calls), "the last leaf to go", 60)
    until(lambda: not pids(host.agent), "the last process to go", 60)


@pytest.mark.covers("placement", "background", "clean-up")
@pytest.mark.timeout(scale(300, 1800))
@pytest.mark.parametrize("harness", HARNESSES)
def test_every_process_was_in_the_leaf_of_its_call_and_none_is_left(
    harness: str, tmp_path: Path
) -> None:
    with sandbox(f"h-{harness}") as host:
        session = f"/{host.path.relative_to(CGROUP)}"
        done = _play(host, harness, "many", tmp_path, COUNT)
        _nothing_left(host)
        assert len(done) == COUNT
        judge(done, _made(host), session)

        before = {call.id for call in _made(host)}
        folder = tmp_path / "crashed"
        folder.mkdir()
        assert _play(host, harness, "crash", folder, CRASHED) is None
        _nothing_left(host)
        new = {call.id for call in _made(host)} - before
        leaves = {f"0::{session}/agentcg.calls/{one}" for one in new}
        outs = [str(one) for one in folder.glob("*.out")]
        assert len(outs) == CRASHED
        assert {leaf_of(out) for out in outs} == leaves
        # What the calls wrote after their harness was gone is there too.
        assert {len(told(out)) for out in outs} == {5}
