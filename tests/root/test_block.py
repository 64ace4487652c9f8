"""`agentcg.call` in a session of a real daemon: a program whose blocks are calls."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.root.daemon import RUN, Daemon, until

pytestmark = pytest.mark.root

Json = Any
HEAD = """
import asyncio, json, os, subprocess, sys, agentcg
WHERE = "grep ^0:: /proc/self/cgroup"
def out(process): return process.stdout.strip().rpartition("/")[2]
TEXT = {"text": True, "stdout": subprocess.PIPE}
"""


def program(daemon: Daemon, text: str) -> Json:
    """Run a program as the harness of the session; what it prints is JSON."""
    with daemon.inside(sys.executable, "-c", HEAD + text, stdout=subprocess.PIPE) as harness:
        out, _ = harness.communicate(timeout=30)
    assert harness.returncode == 0
    return json.loads(out)


def test_every_process_of_a_block_is_in_its_call(daemon: Daemon) -> None:
    told = program(
        daemon,
        """
with agentcg.call("make test", memory="2G", cores=1, deadline="5m", tool="tests") as call:
    first = out(call.run(WHERE, **TEXT))
    piped = out(call.run(f"sleep 0.05 | {WHERE}", **TEXT))
    with call.popen(["sh", "-c", f"{WHERE}; sleep 60 &"], **TEXT) as child:
        third = child.stdout.readline().strip().rpartition("/")[2]
    fourth = out(call.run("echo /$AGENTCG_CALL/$MAKEFLAGS; exit 3", **TEXT))
print(json.dumps([call.id, first, piped, third, fourth, call.advice, call.grant.memory_limit]))
""",
    )
    call, *where, advice, limit = told
    assert where == [call, call, call, "-j1"]
    assert (limit, advice[:23]) == (2 << 30, "Ended with exit code 3 ")
    # What it left in the background went with the block.
    assert daemon.leaves() == []
    (record,) = daemon.history()
    intent = record["intent"]
    assert (record["id"], intent["command"], intent["tool"]) == (call, "make test", "tests")
    assert (intent["deadline"], record["outcome"]["exit_code"]) == (300, 3)


def test_a_deadline_ends_the_block_and_nothing_more_runs_in_it(daemon: Daemon) -> None:
    code, late, words, advice = program(
        daemon,
        """
with agentcg.call("sleep 60", deadline="300ms") as call:
    killed = call.run()
    late = call.run("true", text=True, stderr=subprocess.PIPE)
print(json.dumps([killed.returncode, late.returncode, late.stderr, call.advice]))
""",
    )
    assert (code, late) == (-9, 125)
    assert "nothing more runs in it" in words or "no call of this session" in words
    assert advice.startswith("Killed at its deadline of 300 ms")


def test_blocks_of_an_asyncio_program_run_side_by_side(daemon: Daemon) -> None:
    pairs = program(
        daemon,
        """
async def one():
    async with agentcg.call(WHERE) as call:
        process = await call.exec(stdout=subprocess.PIPE)
        text, _ = await process.communicate()
    return call.id, text.decode().strip().rpartition("/")[2], call.outcome.cause
async def main(): return await asyncio.gather(*(one() for _ in range(5)))
print(json.dumps(asyncio.run(main())))
""",
    )
    assert all(call == where and cause == "exited" for call, where, cause in pairs)
    assert len({call for call, *_ in pairs}) == 5


def test_the_call_of_a_program_that_dies_goes_with_it(daemon: Daemon) -> None:
    text = """
with agentcg.call("x") as call:
    call.popen(["sleep", "60"])
    os.kill(os.getpid(), 9)
"""
    with daemon.inside(sys.executable, "-c", HEAD + text) as harness:
        assert harness.wait(30) == -9
    until(lambda: not daemon.leaves(), "the call to end")
    (record,) = daemon.history()
    assert record["outcome"]["exit_code"] == 1


def test_a_block_runs_without_a_call_where_there_can_be_none(daemon: Daemon) -> None:
    text = """
with agentcg.call("echo hello", memory="1G") as call:
    said = call.run(**TEXT).stdout
print(json.dumps([said, call.id, call.why, call.outcome]))
"""
    argv = f"[sys.executable, '-c', {HEAD + text!r}]"
    nested = f"import agentcg, sys; agentcg.call().__enter__().run({argv})"
    with daemon.inside(sys.executable, "-c", nested, stdout=subprocess.PIPE) as harness:
        said, call, why, outcome = json.loads(harness.communicate(timeout=30)[0])
    assert (said, call, outcome) == ("hello\n", None, None)
    assert "a call cannot declare calls" in why
    alone = subprocess.run(
        [sys.executable, "-c", HEAD + text], capture_output=True, text=True, check=True
    )
    assert json.loads(alone.stdout)[2].startswith("'self': the caller is in no session")
    daemon.stop()
    for name in ("admin.sock", "agent/sock"):
        (RUN / name).unlink(missing_ok=True)
    said, call, why, _ = program(daemon, text)
    assert (said, call) == ("hello\n", None)
    assert "no daemon answers" in why


def test_what_is_wrong_with_an_intent_is_said_before_anything_runs(daemon: Daemon) -> None:
    assert program(
        daemon,
        """
try: agentcg.call(memory="2 gallons")
except agentcg.errors.BadValueError as error: print(json.dumps(error.message))
""",
    ).startswith("memory.limit '2 gallons'")
    assert daemon.history() == []


def test_only_an_open_call_of_the_own_session_is_joined(daemon: Daemon, tmp_path: Path) -> None:
    daemon.open("two")
    with daemon.acg("--", "sleep", "60", name="two") as other:
        until(lambda: daemon.leaves("two"), "the other's call")
        (call,) = daemon.leaves("two")
        for options, why in (
            (("--join", call), "no call of this session"),
            (("--join", call, "--memory", "1g"), "stands alone"),
        ):
            with daemon.acg(*options, "--", "true", stderr=subprocess.PIPE) as joiner:
                assert why in joiner.communicate(timeout=10)[1]
            assert joiner.returncode == 125
        with daemon.acg("--join", call, "--", "sleep", "60", name="two") as joiner:
            procs = daemon.session("two") / "agentcg.calls" / call / "cgroup.procs"
            until(lambda: len(procs.read_text().split()) == 2, "both in one leaf")
            assert daemon.ask("POST", f"/v1/calls/{call}/kill").status_code == 200
            assert (joiner.wait(10), other.wait(10)) == (-9, -9)
    assert daemon.history()[0]["pid"] == other.pid
