"""A report by a real daemon: of a session that is closed, and of a day with all of them."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.root.daemon import REPO, RUN, Daemon, until

pytestmark = pytest.mark.root

ASK = str(Path(__file__).with_name("ask.py"))
AGENTCG = (sys.executable, "-m", "agentcg")


def _agentcg(*words: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "AGENTCG_SOCKET": str(RUN / "admin.sock")}
    command = [*AGENTCG, *words]
    return subprocess.run(
        command, env=env, cwd=REPO, capture_output=True, text=True, check=False, timeout=30
    )


def _day(at: float) -> str:
    return datetime.datetime.fromtimestamp(at).astimezone().date().isoformat()


def test_what_is_closed_is_reported_and_to_whom_it_belongs(daemon: Daemon, tmp_path: Path) -> None:
    daemon.open("two")
    for name in ("one", "two"):
        assert daemon.acg("--memory", "64MiB", "--", "true", name=name).wait(20) == 0
    until(lambda: not daemon.leaves() and not daemon.leaves("two"), "the leaves to go")
    until(lambda: len(daemon.ask("GET", "/v1/accounts").json()) == 2, "the accounts")

    def asked(path: str) -> Any:
        words = [sys.executable, ASK, str(RUN / "agent/sock"), "GET", path]
        with daemon.inside(*words, stdout=subprocess.PIPE) as process:
            return json.loads(process.communicate(timeout=20)[0])

    # An agent has its own session's records alone; a call has none.
    assert {one["session"] for one in asked("/v1/accounts")["body"]} == {"one"}
    assert [one["session"] for one in asked("/v1/recorded")["body"]] == ["one"]
    assert asked("/v1/accounts?session=two")["status"] == 404
    assert asked("/v1/recorded?session=two")["status"] == 404
    inside = (str(REPO / "build/acg"), "run", "--", sys.executable, ASK, str(RUN / "agent/sock"))
    with daemon.inside(*inside, "GET", "/v1/accounts", stdout=subprocess.PIPE) as process:
        assert json.loads(process.communicate(timeout=20)[0])["status"] == 403

    daemon.ask("DELETE", "/v1/sessions/two")
    assert [one["session"] for one in daemon.ask("GET", "/v1/recorded").json()] == ["one", "two"]
    target = tmp_path / "report.html"
    calls = daemon.ask("GET", "/v1/accounts").json()
    # One of them may have been declared before midnight.
    days = {one["session"]: _day(one["declared_at"]) for one in calls}
    for what, name in (("two", "two"), (days["two"], "two"), (days["one"], "one")):
        done = _agentcg("report", what, "-o", str(target))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert f"Calls of {name}" in target.read_text()
    refused = _agentcg("report", "three", "-o", str(target))
    assert refused.returncode == 1
    assert "nothing is remembered of it" in refused.stderr


def test_a_task_takes_time_and_what_is_not_measured_is_no_figure(daemon: Daemon) -> None:
    assert daemon.acg("--", "sleep", "1").wait(20) == 0

    def task() -> Any:
        done = _agentcg("characterize", "--session", "one", "-o", "json")
        assert done.returncode == 0
        return next(iter(json.loads(done.stdout)["tasks"]), None)

    until(lambda: (task() or {}).get("in_calls"), "two readings and a call between them")
    found, out = task(), _agentcg("characterize", "--session", "one").stdout
    assert found["seconds"] > 0
    if found["measured"] == 0:  # this host has no memory controller for us
        assert (found["mean"], found["peak"], found["rise"]) == (None, None, None)
        assert "0 B" not in out
