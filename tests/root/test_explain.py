"""Evidence by a real daemon: who held memory when a call was killed, for whom it may concern."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.root.daemon import RUN, Daemon, until

pytestmark = pytest.mark.root

ASK = str(Path(__file__).with_name("ask.py"))
_HOG = "x = b'x' * ({mib} << 20); import time; time.sleep({hold})"


def test_a_hog_of_another_session_is_named_to_the_host_alone(daemon: Daemon) -> None:
    daemon.open("two")
    program = _HOG.format(mib=64, hold=12)
    with daemon.acg("--", sys.executable, "-c", program, name="two") as run:
        until(lambda: daemon.leaves("two"), "the hog's leaf")
        (hog,) = daemon.leaves("two")
        until(lambda: _memory(daemon, hog) > 64 << 20, "the hog's memory")
        program = _HOG.format(mib=200, hold=0)
        daemon.acg("--memory", "32MiB", "--", sys.executable, "-c", program).wait(30)
        (mine,) = {c["id"] for c in daemon.history()} - {hog}
        until(lambda: daemon.call(mine)["state"] == "closed", "its end")
        path = f"/v1/calls/{mine}/explanation"
        found = daemon.ask("GET", path).json()
        run.kill()
    kinds = [step["kind"] for step in found["timeline"]]
    assert kinds[:2] == ["call.declared", "call.started"]
    assert "call.ended" in kinds
    held = {h["call"]: h["memory"] for p in found["pressed"] for h in p["held"]}
    assert held[hog] >= 64 << 20
    limit = next(b for b in found["bounds"] if b["knob"] == "memory.limit")
    assert (limit["granted"], limit["source"]) == (32 << 20, "declared")
    words = [sys.executable, ASK, str(RUN / "agent/sock"), "GET", path]
    with daemon.inside(*words, stdout=subprocess.PIPE) as process:
        answer = json.loads(process.communicate(timeout=20)[0])
    assert answer["status"] == 200
    assert hog not in json.dumps(answer)
    assert '"two"' not in json.dumps(answer)


def _memory(daemon: Daemon, call: str) -> Any:
    return daemon.ask("GET", f"/v1/calls/{call}").json()["usage"]["memory"] or 0
