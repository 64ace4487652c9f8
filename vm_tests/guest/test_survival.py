"""In a container at its own limits the call goes, whatever is bigger, and the agent stays."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.client import Client
from vm_tests.guest.containers import ACG, LABEL, PYTHON, Box, children, container, session_of
from vm_tests.guest.sandbox import EAT, MIB, field, number, scale, until

pytestmark = pytest.mark.vm

PYTHON3 = "/usr/bin/python3"
# An agent that grows at a pace which the reserve, looked at once a second, can follow.
GROW = (
    "import time\nb=[]\n"
    "for _ in range(22): b.append(bytearray(b'x' * 10485760)); time.sleep(0.25)\n"
    "time.sleep(10000)"
)
KILLED = 128 + signal.SIGKILL


@pytest.fixture(scope="module")
def agent(client: Client) -> Iterator[Box]:
    """A container of 400 MiB without swap and 300 pids, more than half of it in its agent."""
    limits = ("-m", "400m", "--memory-swap", "400m", "--pids-limit", "300")
    with container(*LABEL, *PYTHON, *limits, argv=(PYTHON3, "-c", GROW)) as box:
        session_of(client, box)
        # What it had before the split stays charged to the session itself.
        until(lambda: number(box.home / "memory.current") > 220 * MIB, "the agent to grow", 60)
        before = box.pid
        yield box
        assert box.pid == before != 0
        assert field(box.home / "agentcg.agent" / "memory.events.local", "oom_kill") == 0


def test_the_agent_survives_smaller_calls_at_the_containers_memory_limit(agent: Box) -> None:
    tries = scale(1, 20)
    hog = EAT.format(mib=400, hold=0)
    once = '"$0" run --memory 400MiB -- "$@"; echo $?'
    loop = f"n=0; while [ $n -lt {tries} ]; do {once}; n=$((n+1)); done"
    done = agent.exec("/bin/sh", "-c", loop, ACG, PYTHON3, "-c", hog, timeout=1200)
    assert done.stdout.split() == [str(KILLED)] * tries
    calls = agent.home / "agentcg.calls"
    assert number(calls / "memory.peak") < number(agent.home / "memory.current") / 2
    assert field(agent.home / "memory.events.local", "oom") == 0
    until(lambda: not children(calls), "the last leaf to go", 5)


def test_a_fork_bomb_takes_no_pid_from_the_agent(agent: Box) -> None:
    for _ in range(scale(1, 20)):
        _bomb(agent, agent.home / "agentcg.calls")
    assert _hits(agent.home) == 0


def _bomb(agent: Box, calls: Path) -> None:
    hits = _hits(calls)
    script = "f() { f | f & }; f; sleep 3; exit 0"
    run = agent.start(ACG, "run", "--pids", "4096", "--", "/bin/sh", "-c", script)
    until(lambda: _hits(calls) > hits, "the bomb to hit the calls' limit", 60)
    assert agent.exec("/bin/true").returncode == 0
    run.wait(60)
    until(lambda: not children(calls), "the bomb to be gone", 60)


def _hits(cgroup: Path) -> int:
    """How often the cgroup's own pids.max was reached; older kernels count nothing else."""
    local = cgroup / "pids.events.local"
    return field(local if local.exists() else cgroup / "pids.events", "max")
