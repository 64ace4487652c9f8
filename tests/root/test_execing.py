"""`acg runc` and the daemon on the real kernel, before a made-up runtime and engine."""

import json
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.root.daemon import ENTER, REPO, RUN, until
from tests.root.engine import Host

pytestmark = pytest.mark.root

REAL = RUN / "runtime"
# Enters the cgroup that it is told, as runc's exec --detach does, and leaves the process behind.
RUNC = """#!/bin/sh
for word; do case $word in --cgroup=*) cgroup=${word#--cgroup=};; esac; done
echo "${cgroup-none}"
[ "$LINE" ] || exit 1
rm -f "$BUSY"
sh -c 'echo 0 > "$0/cgroup.procs"; : > "$BUSY"; exec sh -c "$LINE"' \
    "$BOX${cgroup-/agentcg.agent}" >/dev/null 2>&1 </dev/null &
until [ -e "$BUSY" ]; do sleep 0.05; done
"""
CLI = (
    "import ctypes, time; ctypes.CDLL(None).prctl(15, b'docker'); print(flush=True); time.sleep(60)"
)


@dataclass
class Box:
    """A container of such an engine."""

    host: Host
    shim: Path
    cid: str
    option: str = ""

    def exec(self, line: str, *args: str, env: tuple[str, ...] = (), inside: bool = False) -> str:
        """Have the shim run `args`, which are in truth `line`; returns the id of the exec."""
        made = secrets.token_hex(32)
        process = self.shim.with_name("process")
        process.write_text(json.dumps({"args": args or ("sh", "-c", line), "env": env}))
        words = (str(self.shim), "exec", "--process", str(process), "--pid-file", f"/{made}.pid")
        home = self.host.home(self.cid)
        enter: tuple[str, ...] = ()
        if inside:
            enter = ("sh", "-c", ENTER, str(home / "agentcg.agent"))
        argv: list[str] = [*enter, *words, self.cid]
        busy = str(self.shim.with_name("busy"))
        done = subprocess.run(
            argv,
            env={"PATH": "/usr/bin:/bin", "BOX": str(home), "LINE": line, "BUSY": busy},
            stdout=subprocess.PIPE,
            text=True,
            check=bool(line),
            timeout=30,
        )
        self.option = done.stdout.strip()
        return made

    def call(self, made: str) -> dict[str, Any] | None:
        """The call of an exec."""
        history = self.host.daemon.history()
        return next((c for c in history if c["intent"]["key"] == f"exec-{made}"), None)

    def outcome(self, made: str) -> dict[str, Any]:
        """How it ended; waits for that."""
        until(lambda: (self.call(made) or {}).get("outcome"), "the outcome")
        call = self.call(made)
        assert call is not None
        outcome: dict[str, Any] = call["outcome"]
        return outcome

    def died(self, made: str, code: int) -> None:
        """The engine tells the end of an exec."""
        self.host.engine.tell("exec_die", self.cid, execID=made, exitCode=str(code))


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shim")
    out = folder / "acg-runc"
    words = ["make", "-s", "-C", f"{REPO}/daemon/acg", f"OUT={out}", f"ACG_RUNTIME={REAL}"]
    subprocess.run(words, check=True, timeout=60)
    real = folder / "runc"
    real.write_text(RUNC)
    real.chmod(0o755)
    REAL.write_text(f"{real}\n")
    return out


@pytest.fixture
def box(host: Host, shim: Path) -> Box:
    cid = host.run()
    host.opened(cid)
    return Box(host, shim, cid)


def test_it_is_a_call_that_ends_as_the_engine_says(box: Box) -> None:
    made = box.exec("exec sleep 1000", env=("AGENT_RESOURCE_HINT=pids:64",))
    until(lambda: (box.call(made) or {}).get("state") == "running", "its start")
    call = box.call(made)
    assert call is not None
    assert box.option == f"/agentcg.calls/{call['id']}"
    assert (call["intent"]["command"], call["grant"]["pids"]) == ("exec sleep 1000", 64)
    (pid,) = until_pids(box, box.option[1:])
    until(lambda: int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == 500, "its score")
    box.died(made, 3)
    outcome = box.outcome(made)
    assert (outcome["cause"], outcome["exit_code"]) == ("exited", 3)
    # What is left behind is kept.
    until(lambda: (box.call(made) or {}).get("state") == "lingering", "lingering")
    assert box.host.pids(box.cid, box.option[1:]) == [pid]


def until_pids(box: Box, below: str) -> list[int]:
    until(lambda: box.host.pids(box.cid, below), "its process")
    return box.host.pids(box.cid, below)


@pytest.mark.parametrize("code", [0, 137])
def test_one_that_is_over_at_once(box: Box, code: int) -> None:
    made = box.exec("true")
    box.died(made, code)
    outcome = box.outcome(made)
    assert (outcome["cause"], outcome["exit_code"]) == ("exited", code)
    until(lambda: (box.call(made) or {}).get("state") == "closed", "the end")


def test_without_the_engines_word_an_empty_leaf_is_the_end(box: Box) -> None:
    made = box.exec("true")
    outcome = box.outcome(made)
    assert (outcome["cause"], outcome["exit_code"]) == ("unknown", None)


def test_a_runtime_that_fails_leaves_nothing(box: Box) -> None:
    begun = time.monotonic()
    made = box.exec("")
    assert box.option.startswith("/agentcg.calls/")
    assert box.outcome(made)["cause"] == "never-started"
    assert time.monotonic() - begun < 30  # not the minute that any declared call has
    until(lambda: not list(box.host.home(box.cid).glob("agentcg.calls/*/")), "its leaf to go")


@pytest.mark.parametrize(
    "args",
    [("/x/acg", "run", "--", "make"), ("bash", "-lc", "claude -p hello"), ("codex",)],
)
def test_what_is_no_call(box: Box, args: tuple[str, ...]) -> None:
    made = box.exec("sleep 1000", *args)
    assert box.option == "none"
    assert box.call(made) is None


def test_only_the_host_may_ask(box: Box) -> None:
    made = box.exec("true", inside=True)
    assert box.option == "none"
    assert box.call(made) is None
    other = Box(box.host, box.shim, secrets.token_hex(32))
    box.host.home(other.cid).mkdir()
    (box.host.home(other.cid) / "agentcg.agent").mkdir()
    other.exec("true")
    assert other.option == "none"


@pytest.mark.parametrize("host", [{"sessions": {"budget": {"calls": 1}}}], indirect=True)
def test_what_is_refused_or_misspelt_runs(box: Box) -> None:
    made = box.exec("sleep 1000", env=("AGENT_RESOURCE_HINT=memory:lots",))
    assert box.option.startswith("/agentcg.calls/")
    assert box.call(made) is not None
    assert any("its hint does not count" in line for line in box.host.events())
    box.exec("sleep 1000")
    assert box.option == "none"
    counters = box.host.daemon.ask("GET", "/v1/host").json()["counters"]
    assert counters["fail_opens"] == 1


def test_one_whose_client_died_is_killed(box: Box) -> None:
    args = ("sh", "-c", "sleep 1000; true")
    words = [sys.executable, "-c", CLI, "exec", box.cid[:12], *args]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        client.stdout.readline()
        made = box.exec("sleep 1000 & sleep 1000", *args)
        attached = {"Running": True, "OpenStdout": True, "OpenStderr": True}
        box.host.engine.execs[made] = attached
        until(lambda: (box.call(made) or {}).get("state") == "running", "its start")
        time.sleep(1.5)  # the daemon looks for the client after half a second
        client.send_signal(signal.SIGKILL)
    outcome = box.outcome(made)
    assert outcome["cause"] == "orphaned"
    assert "nobody waited for it any more" in outcome["advice"]
    until(lambda: not box.host.home(box.cid).joinpath(box.option[1:]).exists(), "its leaf to go")
