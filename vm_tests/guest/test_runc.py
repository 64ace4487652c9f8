"""`docker exec` through the runtime shim, under a real dockerd: each in a leaf of its own."""

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.cli.explain import sentences
from agentcg.client import Client
from agentcg.errors import AgentcgError
from agentcg.model.call import Call, CallState
from agentcg.model.outcome import Cause, Level
from agentcg.model.session import Session
from vm_tests.guest.containers import (
    ACG,
    LABEL,
    PYTHON,
    Box,
    children,
    container,
    pids,
    session_of,
    systemctl,
)
from vm_tests.guest.sandbox import EAT, LEAF, MIB, until
from vm_tests.guest.test_platform import docker

pytestmark = pytest.mark.vm

AGENTCG = "/opt/agentcg/bin/agentcg"
DAEMON_JSON = Path("/etc/docker/daemon.json")
RUNTIME = ("--runtime", "agentcg")
WHERE = ("/bin/cat", "/proc/self/cgroup")
UNITS = ("agentcg-admin.socket", "agentcg-agent.socket", "agentcg.service")


@pytest.fixture(scope="module", autouse=True)
def _enabled() -> Iterator[None]:
    before = DAEMON_JSON.read_text()
    agentcg("docker", "enable", "--reload")
    until(lambda: "dockerd: knows it" in agentcg("docker", "status"), "dockerd to know it", 30)
    yield
    agentcg("docker", "disable", "--reload")
    assert json.loads(DAEMON_JSON.read_text()) == json.loads(before)


@pytest.fixture(scope="module")
def boxed(client: Client) -> Iterator[tuple[Box, Session]]:
    with container(*LABEL, *RUNTIME, "-m", "400m", *PYTHON) as box:
        yield box, session_of(client, box)


def agentcg(*words: str) -> str:
    done = subprocess.run([AGENTCG, *words], capture_output=True, text=True, check=True)
    return done.stdout


def calls_of(client: Client, session: Session, command: str) -> list[Call]:
    """The calls of this command that are closed."""
    views = [v.call for v in client.calls(everything=True)]
    mine = [c for c in views if c.session == session.id and c.intent.command == command]
    return [c for c in mine if c.state is CallState.CLOSED]


def test_every_exec_has_a_leaf_of_its_own(client: Client, boxed: tuple[Box, Session]) -> None:
    box, session = boxed
    wanted = {f"cat /proc/self/cgroup; exit {n}": n for n in (0, 1, 2, 3, 42, 126, 137, 143, 254)}
    seen = []
    lines = [*wanted]
    for some in (lines[:3], lines[3:6], lines[6:]):  # no more at once than such a machine bears
        runs = [box.start("/bin/sh", "-c", line, stdout=subprocess.PIPE) for line in some]
        seen += [LEAF.search(run.communicate(timeout=120)[0]) for run in runs]
        assert [run.returncode for run in runs] == [wanted[line] for line in some]
    assert None not in seen
    leaves = [match[1] for match in seen if match]
    assert len(set(leaves)) == len(wanted)
    for leaf, (line, code) in zip(leaves, wanted.items(), strict=True):
        (call,) = until(lambda line=line: calls_of(client, session, line), line, 60)  # type: ignore[misc]
        assert call.id == leaf
        assert call.outcome is not None
        assert (call.outcome.cause, call.outcome.exit_code) == (Cause.EXITED, code)
    assert children(box.home / "agentcg.calls") == set()
    assert box.pid in pids(box.home / "agentcg.agent")


def test_terminals_input_and_detached_ones(client: Client, boxed: tuple[Box, Session]) -> None:
    box, session = boxed
    words = ["docker", "exec", "-i", box.id, "/bin/sh", "-c", "cat; cat /proc/self/cgroup"]
    done = subprocess.run(words, input="said\n", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("said\n")
    assert LEAF.search(done.stdout)
    said = b""

    def read(fd: int) -> bytes:
        nonlocal said
        said += (data := os.read(fd, 1024))
        return data

    assert pty.spawn(["docker", "exec", "-t", box.id, *WHERE], read) == 0
    assert LEAF.search(said.decode())
    docker("exec", "-d", box.id, "/bin/sh", "-c", "sleep 4; exit 6")
    (call,) = until(lambda: calls_of(client, session, "sleep 4; exit 6"), "its end", 60)
    # It had no client to miss, so it ended by itself.
    assert call.outcome is not None
    assert (call.outcome.cause, call.outcome.exit_code) == (Cause.EXITED, 6)


def test_a_hint_is_its_intent_and_its_limit_kills_it_alone(
    client: Client, boxed: tuple[Box, Session]
) -> None:
    box, session = boxed
    init = box.pid
    hog = EAT.format(mib=200, hold=0)
    words = ["docker", "exec", "-e", "AGENT_RESOURCE_HINT=memory:100MiB", box.id]
    done = subprocess.run([*words, "/usr/bin/python3", "-c", hog], check=False, timeout=120)
    assert done.returncode == 128 + signal.SIGKILL
    (call,) = until(lambda: calls_of(client, session, f"/usr/bin/python3 -c {hog}"), "the call")
    assert call.outcome is not None
    assert (call.outcome.cause, call.outcome.level) == (Cause.OOM, Level.CALL)
    assert call.outcome.limit == 100 * MIB
    told = " ".join(sentences(client.call(call.id)))
    assert "The limit that was hit is its own limit (100 MiB)." in told
    assert box.pid == init
    assert box.exec("/bin/true").returncode == 0


def test_what_asks_by_itself_is_one_call(client: Client, boxed: tuple[Box, Session]) -> None:
    box, _ = boxed
    done = box.exec(ACG, "run", "--call-id", "own", "--memory", "64MiB", "--", *WHERE)
    match = LEAF.search(done.stdout)
    assert match, done
    call = client.call(match[1]).call
    assert (call.grant.memory_limit, call.intent.key) == (64 * MIB, "own")


def test_an_exec_whose_client_was_killed_goes_too(
    client: Client, boxed: tuple[Box, Session]
) -> None:
    box, session = boxed
    line = "sleep 3456 & sleep 3456"
    # What ran before it goes a moment after its client.
    until(lambda: children(box.home / "agentcg.calls") == set(), "no leaf to be there", 60)
    run = box.start("/bin/sh", "-c", line)
    try:
        (leaf,) = until(lambda: children(box.home / "agentcg.calls"), "the leaf", 60)
        held = box.home / "agentcg.calls" / leaf
        until(lambda: len(pids(held)) > 1, "its processes", 60)
        until(lambda: _oom_score(pids(held)[0]) >= 500, "their score", 60)
        time.sleep(5)  # for what takes half a second and a look through /proc, on a slow machine
    finally:
        run.kill()
        run.wait()
    (call,) = until(lambda: calls_of(client, session, line), "its end", 60)
    assert call.outcome is not None
    assert call.outcome.cause is Cause.ORPHANED
    assert "nobody waited for it any more" in call.outcome.advice


def _oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_a_container_that_is_no_session_and_a_command_that_is_not_there(
    client: Client, boxed: tuple[Box, Session]
) -> None:
    with container(*RUNTIME) as other:
        assert not LEAF.search(other.exec(*WHERE).stdout)
    box, _ = boxed
    done = box.exec("/no/such/thing")
    assert done.returncode in (126, 127)
    assert "no such file" in done.stdout + done.stderr
    until(lambda: children(box.home / "agentcg.calls") == set(), "nothing to stay", 60)


def test_without_the_daemon_containers_start_and_execs_run(
    client: Client, boxed: tuple[Box, Session]
) -> None:
    pid = int(systemctl("show", "-P", "MainPID", "agentcg.service"))
    os.kill(pid, signal.SIGSTOP)  # there, and answers nobody
    try:
        assert boxed[0].exec("/bin/sh", "-c", "exit 8").returncode == 8
    finally:
        os.kill(pid, signal.SIGCONT)
    systemctl("stop", *UNITS)
    try:
        with container(*RUNTIME) as box:
            done = box.exec("/bin/sh", "-c", "cat /proc/self/cgroup; exit 9")
            assert done.returncode == 9
            assert not LEAF.search(done.stdout)
    finally:
        systemctl("start", *UNITS)
        until(lambda: _answers(client), "the daemon", 180)


def _answers(client: Client) -> bool:
    try:
        return client.health() != ""
    except AgentcgError:
        return False
