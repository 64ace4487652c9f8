"""Scopes of a real systemd as sessions, and everything that must not become one."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.client import Client
from agentcg.errors import ConflictError
from vm_tests.guest.containers import POOL, cgroup_of, children, pids, systemctl
from vm_tests.guest.sandbox import ENTER, MIB, number, until

pytestmark = pytest.mark.vm

TREE = "sleep 6000 & sleep 6000 & wait"


@pytest.fixture
def agent() -> Iterator[subprocess.Popen[bytes]]:
    """An agent with children in a scope as a login makes it: not delegated, in another slice."""
    yield from _scope()


def _scope(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    unit = f"test-{uuid.uuid4().hex[:8]}.scope"
    command = ["systemd-run", "--scope", "--quiet", f"--unit={unit}", *options, "sh", "-c", TREE]
    process = subprocess.Popen(command)
    until(lambda: "test-" in str(cgroup_of(process.pid)), "the scope", 60)
    until(lambda: len(pids(cgroup_of(process.pid))) == 3, "the children", 60)
    yield process
    subprocess.run(["pkill", "-P", str(process.pid)], check=False)
    process.kill()
    process.wait()


def test_a_process_tree_gets_a_delegated_scope_in_the_pool(
    client: Client, agent: subprocess.Popen[bytes]
) -> None:
    name = f"sc-{agent.pid}"
    opened = client.open_session(
        {"runtime": "scope", "id": name, "pid": agent.pid, "budget": {"memory": "300MiB"}}
    )
    unit = f"agentcg-{name}.scope"
    home = POOL / unit
    assert opened.session.cgroup == f"agentcg.slice/{unit}"
    assert systemctl("show", "-P", "Delegate", unit) == "yes"
    assert systemctl("show", "-P", "Slice", unit) == "agentcg.slice"
    assert number(home / "memory.max") == 300 * MIB
    assert len(pids(home / "agentcg.agent")) == 3
    assert pids(home) == []
    words = ["sh", "-c", ENTER, str(home / "agentcg.agent"), "/usr/local/bin/acg", "run", "--"]
    run = subprocess.run(
        [*words, "cat", "/proc/self/cgroup"], capture_output=True, text=True, check=True
    )
    assert "/agentcg.calls/c-" in run.stdout
    # A reload makes systemd look at all units again; what is below a delegated one is ours.
    systemctl("daemon-reload")
    assert len(pids(home / "agentcg.agent")) == 3
    client.close_session(name)
    assert children(home) == set()
    assert len(pids(home)) == 3
    assert systemctl("is-active", unit) == "active"


def test_the_session_ends_with_its_last_process(
    client: Client, agent: subprocess.Popen[bytes]
) -> None:
    name = f"end-{agent.pid}"
    client.open_session({"runtime": "scope", "id": name, "pid": agent.pid})
    for pid in pids(POOL / f"agentcg-{name}.scope/agentcg.agent"):
        os.kill(pid, 9)
    agent.wait()
    until(lambda: name not in [v.session.id for v in client.sessions()], "the session to close", 30)
    assert not (POOL / f"agentcg-{name}.scope").exists()


def test_a_delegated_scope_in_the_pool_is_taken_up_as_it_is(client: Client) -> None:
    for process in _scope("--slice=agentcg.slice", "-p", "Delegate=yes"):
        home = cgroup_of(process.pid)
        opened = client.open_session({"runtime": "scope", "pid": process.pid})
        assert POOL.parent / opened.session.cgroup == home
        assert cgroup_of(process.pid) == home / "agentcg.agent"
        with pytest.raises(ConflictError, match="already"):
            client.open_session({"runtime": "scope", "pid": process.pid})
        client.close_session(opened.session.id)
        assert cgroup_of(process.pid) == home
        assert children(home) == set()


@pytest.fixture
def nothing_guaranteed(client: Client) -> None:
    """What an earlier test guaranteed is given back a moment after its session closed."""
    until(lambda: number(POOL / "memory.min") == 0, "earlier guarantees to be given back", 60)


@pytest.mark.usefixtures("nothing_guaranteed")
def test_a_guarantee_counts_up_to_the_slice(client: Client, agent: subprocess.Popen[bytes]) -> None:
    name = f"min-{agent.pid}"
    body = {"runtime": "scope", "id": name, "pid": agent.pid, "budget": {"guarantee": "96MiB"}}
    client.open_session(body)
    home = POOL / f"agentcg-{name}.scope"
    made = client.declare({"tool": "sh", "memory": {"guarantee": "48MiB"}}, name)
    assert made.call.grant.enforced["memory.guarantee"] == "ok"
    levels = (POOL, home, home / "agentcg.calls", home / "agentcg.calls" / made.call.id)
    assert [number(p / "memory.min") for p in levels] == [48 * MIB] * 4
    client.patch(made.call.id, {"memory": {"guarantee": "96MiB"}})
    assert [number(p / "memory.min") for p in levels] == [96 * MIB] * 4
    client.close_session(name)
    until(lambda: number(POOL / "memory.min") == 0, "the guarantee to be given back", 30)
    assert systemctl("show", "-P", "MemoryMin", "agentcg.slice") == "0"


@pytest.mark.usefixtures("nothing_guaranteed")
def test_bare_sessions_guarantee_through_the_keeper(client: Client) -> None:
    client.open_session({"runtime": "bare", "id": "bmin", "budget": {"guarantee": "64MiB"}})
    keeper = POOL / "agentcg-keeper.service"
    made = client.declare({"tool": "sh", "memory": {"guarantee": "64MiB"}}, "bmin")
    assert made.call.grant.enforced["memory.guarantee"] == "ok"
    levels = (POOL, keeper, keeper / "bmin", keeper / "bmin/agentcg.calls")
    assert [number(p / "memory.min") for p in levels] == [64 * MIB] * 4
    assert systemctl("show", "-P", "MemoryMin", "agentcg-keeper.service") == str(64 * MIB)
    client.close_session("bmin")
    until(lambda: number(POOL / "memory.min") == 0, "the guarantee to be given back", 30)


def _main_pid(unit: str) -> int:
    return int(systemctl("show", "-P", "MainPID", unit))


@pytest.mark.parametrize(
    ("pid", "why"),
    [
        (lambda: 1, "init"),
        (lambda: 2, "kernel thread"),
        (lambda: _main_pid("agentcg.service"), "the daemon"),
        (lambda: _main_pid("docker.service"), "service"),
        (lambda: _main_pid("agentcg-keeper.service"), "did not make"),
    ],
    ids=["init", "kernel", "daemon", "service", "keeper"],
)
def test_what_must_not_be_touched_is_not(client: Client, pid: object, why: str) -> None:
    target = pid()  # type: ignore[operator]
    before = Path(f"/proc/{target}/cgroup").read_text()
    with pytest.raises(ConflictError, match=why):
        client.open_session({"runtime": "scope", "pid": target})
    assert Path(f"/proc/{target}/cgroup").read_text() == before
