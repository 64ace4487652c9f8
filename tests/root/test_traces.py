"""Traces by a real daemon: what a call used is recorded, kept, and shown to whom it belongs."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentcg.telemetry import shelf
from tests.root.daemon import REPO, RUN, Daemon, until

pytestmark = pytest.mark.root

ASK = str(Path(__file__).with_name("ask.py"))
# Computes for a while, then sleeps for ever.
BURN = "import time,sys\nwhile time.process_time() < {cpu}: pass\ntime.sleep({hold})"


def _trace(daemon: Daemon, call: str, **params: Any) -> Any:
    query = "&".join(f"{key}={value}" for key, value in params.items())
    answer = daemon.ask("GET", f"/v1/calls/{call}/trace?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def _run(daemon: Daemon, program: str) -> str:
    """Run a Python program as a call to its end; the call's id."""
    assert daemon.acg("--", sys.executable, "-c", program).wait(30) == 0
    until(lambda: not daemon.leaves(), "the leaf to go")
    closed = [c for c in daemon.history() if c["session"] == "one" and c["state"] == "closed"]
    return str(max(closed, key=lambda c: c["declared_at"])["id"])


def test_the_cpu_time_of_a_call_is_recorded_to_its_end(daemon: Daemon) -> None:
    call = _run(daemon, BURN.format(cpu=1.5, hold=0))
    found = _trace(daemon, call)
    cpu = [s["usage"]["cpu"] for s in found["samples"] if s["usage"]["cpu"] is not None]
    assert cpu == sorted(cpu)
    assert len(cpu) >= 2
    # The last reading is that of the outcome, but for what the kernel did in between.
    outcome = found["call"]["outcome"]["cpu"]
    assert outcome == pytest.approx(cpu[-1], rel=0.02)
    assert cpu[-1] >= 1.5
    kinds = [e["kind"] for e in found["events"]]
    assert kinds == ["call.declared", "call.started", "call.ended", "call.closed"]


def test_a_call_that_is_over_at_once_has_its_last_reading(daemon: Daemon) -> None:
    found = _trace(daemon, _run(daemon, "pass"))
    # A brief reading may have been on its way when the last was taken.
    whole = [s for s in found["samples"] if s["full"]]
    assert whole[-1]["usage"]["cpu"] > 0


def test_an_idle_call_is_read_seldom_and_one_that_works_once_a_second(daemon: Daemon) -> None:
    with daemon.acg("--", sys.executable, "-c", BURN.format(cpu=3, hold=60)) as run:
        until(lambda: daemon.leaves(), "the leaf")
        call = daemon.leaves()[0]
        time.sleep(16)
        run.kill()
    samples = _trace(daemon, call)["samples"]
    # The first of a new call come fast, then one a second while it computes, then few.
    assert 6 <= len(samples) <= 24
    whole = [s for s in samples if s["full"]]
    works = [b for a, b in pairwise(whole) if b["usage"]["cpu"] - a["usage"]["cpu"] > 0.1]
    late = [s for s in samples if s["clock"] > works[-1]["clock"] + 6]
    assert len(late) <= 6  # of some 70 ticks; two of them are its end


def test_a_session_is_recorded_and_so_is_what_the_daemon_missed(daemon: Daemon) -> None:
    with daemon.acg("--", "sleep", "60") as run:
        until(lambda: daemon.leaves(), "the leaf")
        call = daemon.leaves()[0]
        until(lambda: _trace(daemon, call)["samples"], "a sample")
        before = len(_trace(daemon, call)["samples"])
        daemon.stop()
        daemon.start()
        until(lambda: len(_trace(daemon, call)["samples"]) > before, "one of the new daemon")
        run.kill()
    clocks = [s["clock"] for s in _trace(daemon, call)["samples"]]
    assert clocks == sorted(clocks)
    found = daemon.ask("GET", "/v1/sessions/one/trace").json()
    assert found["samples"]
    assert any(e["call"] == call for e in found["events"])
    daemon.ask("DELETE", "/v1/sessions/one")
    assert daemon.ask("GET", "/v1/sessions/one/trace").json()["samples"]
    assert daemon.ask("GET", "/v1/sessions/two/trace").status_code == 404


def test_a_trace_is_told_also_when_the_journal_has_forgotten_its_call(daemon: Daemon) -> None:
    call = _run(daemon, "pass")
    journal = sqlite3.connect(daemon.scratch / "state/journal.sqlite", timeout=30)
    with contextlib.closing(journal), journal:
        journal.execute("DELETE FROM call")
    assert daemon.ask("GET", f"/v1/calls/{call}").status_code == 404
    found = _trace(daemon, call)
    assert found["samples"]
    assert found["call"]["state"] == "closed"
    kinds = [e["kind"] for e in found["events"]]
    assert kinds == ["call.declared", "call.started", "call.ended", "call.closed"]
    assert daemon.ask("GET", "/v1/calls/c-none/trace").status_code == 404


def test_a_call_that_ends_while_the_daemon_is_dead_is_in_the_statistics(daemon: Daemon) -> None:
    with daemon.acg("--", "sleep", "3") as run:
        until(lambda: daemon.leaves(), "the leaf")
        daemon.stop(signal.SIGKILL)
        assert run.wait(30) == 0
    daemon.start()
    until(lambda: not daemon.leaves(), "the leaf to go")
    # Its account follows its leaf, and is written by a thread.
    until(lambda: _counts(daemon) == {"sleep": 1}, "the account")


def _counts(daemon: Daemon) -> dict[str, int]:
    return {one["kind"]: one["calls"] for one in daemon.ask("GET", "/v1/stats").json()}


_CROWD = """
import sys, threading
from pathlib import Path
from agentcg.client import Client
from agentcg.errors import LimitError
ready, said = threading.Barrier(8), []
def ask():
    with Client(Path(sys.argv[1])) as client:
        client.health()
        ready.wait()
        try:
            client.stats()
            said.append("answered")
        except LimitError:
            said.append("later")
threads = [threading.Thread(target=ask) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
print(*sorted(set(said)))
"""


def test_of_a_session_one_query_is_in_flight_and_the_host_waits_for_none(daemon: Daemon) -> None:
    words = [sys.executable, "-c", _CROWD, str(RUN / "agent/sock")]
    with daemon.inside(*words, stdout=subprocess.PIPE) as process:
        assert process.communicate(timeout=30)[0].split() == ["answered", "later"]
    for _ in range(3):
        assert daemon.ask("GET", "/v1/stats").status_code == 200


def test_others_traces_do_not_exist(daemon: Daemon) -> None:
    daemon.open("two")
    theirs = daemon.ask("POST", "/v1/sessions/two/calls", {}).json()["call"]["id"]
    old = _run(daemon, "pass")

    def asked(path: str, *prefix: str) -> int:
        words = [*prefix, sys.executable, ASK, str(RUN / "agent/sock"), "GET", path]
        with daemon.inside(*words, stdout=subprocess.PIPE) as process:
            return int(json.loads(process.communicate(timeout=20)[0])["status"])

    inside = (str(REPO / "build/acg"), "run", "--")
    assert asked(f"/v1/calls/{old}/trace") == 200
    assert asked("/v1/sessions/self/trace") == 200
    assert asked("/v1/stats") == 200
    assert asked(f"/v1/calls/{theirs}/trace") == 404
    assert asked("/v1/sessions/two/trace") == 404
    # A process in a call speaks for that call alone.
    assert asked(f"/v1/calls/{old}/trace", *inside) == 404
    assert asked("/v1/sessions/one/trace", *inside) == 404
    assert asked("/v1/stats", *inside) == 403
    # An earlier session of the same name is another's.
    daemon.ask("DELETE", "/v1/sessions/one")
    daemon.open("one")
    assert asked(f"/v1/calls/{old}/trace") == 404
    words = [sys.executable, ASK, str(RUN / "agent/sock"), "GET", "/v1/sessions/one/trace"]
    with daemon.inside(*words, stdout=subprocess.PIPE) as process:
        body = json.loads(process.communicate(timeout=20)[0])["body"]
    assert not [e for e in body["events"] if e["call"] == old]


def test_closed_calls_are_counted_by_their_class(daemon: Daemon) -> None:
    for words in (["git", "--version"], ["git", "--version"], ["true"]):
        daemon.acg("--memory", "64MiB", "--", *words).wait(20)
    until(lambda: not daemon.leaves(), "the leaves to go")
    found = {one["kind"]: one for one in daemon.ask("GET", "/v1/stats").json()}
    assert found["git"]["calls"] == 2
    assert found["true"]["asked"] == 1
    assert found["true"]["wall"]["count"] == 1


@pytest.mark.parametrize("daemon", [{"traces": {"enabled": False}}], indirect=True)
def test_nothing_is_recorded_where_that_is_not_wanted(daemon: Daemon) -> None:
    call = _run(daemon, "pass")
    assert daemon.ask("GET", f"/v1/calls/{call}/trace").status_code == 501
    assert not (daemon.scratch / "state/traces").exists()


def test_a_full_disk_stops_nothing_and_recording_goes_on_when_there_is_room(
    daemon: Daemon, tmp_path: Path
) -> None:
    daemon.stop()
    state = daemon.scratch / "state/traces"
    state.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", str(state)], check=True)
    try:
        filler = state / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        daemon.start()
        first = _run(daemon, BURN.format(cpu=0.2, hold=0))
        until(lambda: "traces cannot be written" in daemon.log, "the word")
        # What waits for the disk can be seen already.
        assert _trace(daemon, first)["samples"]
        filler.unlink()
        until(lambda: "traces are recorded again" in daemon.log, "the second word")
        assert daemon.log.count("traces cannot be written") == 1
        assert _trace(daemon, first)["samples"]
        assert [one for one in shelf.kept(state) if one.whole]
        daemon.stop()
        daemon.start()
        assert _trace(daemon, first)["samples"]
    finally:
        if daemon.process is not None:
            daemon.stop()
        subprocess.run(["umount", "-l", str(state)], check=True)
    assert os.path.ismount(state) is False
