"""A recording of a real daemon: written, read, and what is in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentcg.cli.recording import lines
from agentcg.cli.recording.lines import Course
from agentcg.cli.replay.past import load
from agentcg.model.call import Call
from agentcg.model.event import Event
from tests.root.daemon import RUN, Daemon, until

pytestmark = pytest.mark.root


def test_what_ran_is_in_the_file(daemon: Daemon, tmp_path: Path) -> None:
    assert daemon.acg("--", "true").wait(20) == 0
    until(lambda: not daemon.leaves(), "the leaf to go")
    name = tmp_path / "x.gz"
    words = [sys.executable, "-m", "agentcg", "record", "-o", str(name), "--since", "5m"]
    env = {**os.environ, "AGENTCG_SOCKET": str(RUN / "admin.sock")}
    subprocess.run(words, env=env, check=True, timeout=30)
    with name.open("rb") as file:
        found = list(lines.read("x", file))
    (call,) = [record for record in found if isinstance(record, Call)]
    kinds = [e.kind.value for e in found if isinstance(e, Event) and e.call == call.id]
    assert kinds == ["call.declared", "call.started", "call.ended", "call.closed"]
    assert {c.call for c in found if isinstance(c, Course)} >= {call.id}
    past = load("x", found)
    assert call.started_at is not None
    assert call.closed_at is not None
    middle = (call.started_at + call.closed_at) / 2
    assert [view.call.id for view in past.reading(middle).calls] == [call.id]
