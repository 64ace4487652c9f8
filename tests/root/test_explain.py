"""Evidence by a real daemon: what befell a call, for whom it may concern, also when it is over."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.root.daemon import RUN, Daemon, until

pytestmark = pytest.mark.root

ASK = str(Path(__file__).with_name("ask.py"))


def test_the_timeline_is_told_to_the_host_and_to_the_calls_own_session(daemon: Daemon) -> None:
    daemon.open("two")
    theirs = daemon.ask("POST", "/v1/sessions/two/calls", {}).json()["call"]["id"]
    with daemon.acg("--pids", "50", "--", "sleep", "60") as run:
        until(lambda: daemon.leaves(), "the leaf")
        (mine,) = daemon.leaves()
        for verb in ("freeze", "thaw", "kill"):
            assert daemon.ask("POST", f"/v1/calls/{mine}/{verb}").status_code == 200
        run.wait(20)
    until(lambda: daemon.call(mine)["state"] == "closed", "its end")
    path = f"/v1/calls/{mine}/explanation"
    found = daemon.ask("GET", path).json()
    kinds = [step["kind"].partition(".")[2] for step in found["timeline"]]
    assert kinds == ["declared", "started", "frozen", "thawed", "ended", "closed"]
    assert all(step["since"] >= 0 for step in found["timeline"])
    pids = next(one for one in found["bounds"] if one["knob"] == "pids")
    assert (pids["granted"], pids["source"]) == (50, "declared")
    assert found["used"]["cpu"] > 0
    answer = _inside(daemon, path)
    assert answer["status"] == 200
    assert '"two"' not in json.dumps(answer)
    assert _inside(daemon, f"/v1/calls/{theirs}/explanation")["status"] == 404
    assert _inside(daemon, "/v1/lived")["status"] == 403
    lived = {call["id"] for call in daemon.ask("GET", "/v1/lived").json()}
    assert lived == {mine, theirs}


def _inside(daemon: Daemon, path: str) -> Any:
    words = [sys.executable, ASK, str(RUN / "agent/sock"), "GET", path]
    with daemon.inside(*words, stdout=subprocess.PIPE) as process:
        return json.loads(process.communicate(timeout=20)[0])
