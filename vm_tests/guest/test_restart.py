"""The daemon goes away under running calls of every kind of session: none of them notices."""

import contextlib
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcg.client import Client
from agentcg.errors import AgentcgError
from agentcg.model.call import Call, CallState
from agentcg.model.outcome import Cause
from vm_tests.guest.containers import (
    ACG,
    LABEL,
    POOL,
    Box,
    children,
    container,
    outcome_of,
    session_of,
    systemctl,
)
from vm_tests.guest.sandbox import GATE, Sandbox, sandbox, scale, until
from vm_tests.guest.test_platform import cgroup_mount_options

pytestmark = pytest.mark.vm

SOCKETS = (Path("/run/agentcg/admin.sock"), Path("/run/agentcg/agent/sock"))
COUNT = scale(5, 20)
WAIT = f"read _ < {GATE}/fifo; exit $0"
LOOP = (
    'n=0; while [ $n -lt $0 ]; do ("$1" run --call-id "r$n" -- /bin/sh -c "$2" $n; echo $n $?) & '
    "n=$((n+1)); done; wait"
)


@pytest.fixture
def bare() -> Iterator[Sandbox]:
    with sandbox(f"rb-{uuid.uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def scope(client: Client) -> Iterator[Sandbox]:
    name = f"rs-{uuid.uuid4().hex[:8]}"
    agent = subprocess.Popen(
        ["systemd-run", "--scope", "--quiet", f"--unit={name}", "sleep", "6000"]
    )
    until(lambda: name in Path(f"/proc/{agent.pid}/cgroup").read_text(), "the scope", 60)
    client.open_session({"runtime": "scope", "id": name, "pid": agent.pid})
    yield Sandbox(client, name, POOL / f"agentcg-{name}.scope")
    client.close_session(name)
    agent.kill()
    agent.wait()


@pytest.fixture
def docker_box(gate: object) -> Iterator[Box]:
    del gate  # it only has to be there before
    with container(*LABEL, "-v", f"{GATE}:{GATE}") as made:
        yield made


def _restart() -> None:
    systemctl("restart", "agentcg.service")


def _kill() -> None:
    before = systemctl("show", "-P", "MainPID", "agentcg.service")
    systemctl("kill", "-s", "KILL", "agentcg.service")
    until(
        lambda: systemctl("show", "-P", "MainPID", "agentcg.service") not in (before, "0"),
        "systemd to start it again",
        60,
    )


HOW = {"restart": (_restart, 1), "kill -9": (_kill, scale(1, 3))}


@pytest.mark.parametrize("how", HOW)
def test_no_call_notices_that_the_daemon_went_away(
    client: Client,
    bare: Sandbox,
    scope: Sandbox,
    docker_box: Box,
    gate: Callable[[], object],
    how: str,
) -> None:
    options, inodes = cgroup_mount_options(), [s.stat().st_ino for s in SOCKETS]
    boxed = session_of(client, docker_box)
    sessions = (bare.name, scope.name, boxed.id)
    halves = [bare.calls, scope.calls, docker_box.home / "agentcg.calls"]
    words = ("sh", "-c", LOOP, str(COUNT))
    loops = [
        bare.inside(*words, "acg", WAIT, stdout=subprocess.PIPE),
        scope.inside(*words, "acg", WAIT, stdout=subprocess.PIPE),
        docker_box.start("/bin/sh", "-c", LOOP, str(COUNT), ACG, WAIT, stdout=subprocess.PIPE),
    ]
    until(lambda: [len(_running(client, s)) for s in sessions] == [COUNT] * 3, "the calls", 120)
    leave, times = HOW[how]
    for _ in range(times):
        leave()
        until(lambda: _answers(client), "the daemon to answer", 180)
        assert [len(children(half)) for half in halves] == [COUNT] * 3
        assert [len(_running(client, s)) for s in sessions] == [COUNT] * 3
    gate()
    expected = sorted(f"{n} {n}" for n in range(COUNT))
    for loop in loops:
        out, _ = loop.communicate(timeout=120)
        assert sorted(out.splitlines()) == expected
    until(lambda: not any(children(half) for half in halves), "the last leaf to go", 10)
    until(lambda: all(_all_closed(_calls(client, s)) for s in sessions), "the calls to close")
    for session in sessions:
        closed = _calls(client, session)
        assert len(closed) == COUNT
        assert all(_as_expected(call) for call in closed)
    # A container from before the daemon's start declares its next call after it.
    assert (
        docker_box.exec(ACG, "run", "--call-id", "next", "--", "/bin/sh", "-c", "exit 7").returncode
        == 7
    )
    assert outcome_of(client, boxed, "next").exit_code == 7
    assert cgroup_mount_options() == options
    assert [s.stat().st_ino for s in SOCKETS] == inodes


def _calls(client: Client, session: str) -> list[Call]:
    return [v.call for v in client.calls(everything=True) if v.call.session == session]


def _running(client: Client, session: str) -> list[Call]:
    calls = [v.call for v in client.calls() if v.call.session == session]
    return [c for c in calls if c.state is CallState.RUNNING]


def _all_closed(calls: list[Call]) -> bool:
    # A leaf is gone a moment before its call is closed.
    return all(call.state is CallState.CLOSED for call in calls)


def _as_expected(call: Call) -> bool:
    """Closed, and with its own exit code although another daemon saw it start."""
    outcome, key = call.outcome, call.intent.key
    assert outcome is not None
    assert key is not None
    return (call.state, outcome.cause, outcome.exit_code) == (
        CallState.CLOSED,
        Cause.EXITED,
        int(key[1:]),
    )


def _answers(client: Client) -> bool:
    with contextlib.suppress(AgentcgError):
        return client.health() != ""
    return False
