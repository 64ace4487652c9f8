"""Containers of a real dockerd as sessions: split, held, followed, given back."""

import subprocess
from pathlib import Path

import pytest

from agentcg.client import Client
from agentcg.errors import ConflictError
from agentcg.model.outcome import Cause, Level
from vm_tests.guest.containers import (
    ACG,
    LABEL,
    POOL,
    cgroup_of,
    children,
    container,
    find,
    outcome_of,
    pids,
    session_of,
    systemctl,
)
from vm_tests.guest.sandbox import MIB, number, until
from vm_tests.guest.test_platform import docker

pytestmark = [pytest.mark.vm, pytest.mark.any_kernel]


def test_a_labelled_container_is_a_session_from_its_start_to_its_death(client: Client) -> None:
    labels = ("--label", "agentcg.session=boxed", "--label", "agentcg.priority=7")
    with container(*labels, "-m", "256m") as box:
        record = session_of(client, box)
        assert (record.id, record.priority, record.name) == ("boxed", 7, box.name)
        assert record.observe_only is None
        home = cgroup_of(box.pid).parent
        assert home.parent == POOL
        assert pids(home) == []
        assert box.pid in pids(home / "agentcg.agent")
        wanted = {"cpu", "cpuset", "memory", "pids"}
        assert set((home / "cgroup.subtree_control").read_text().split()) >= wanted
        assert number(home / "memory.max") == 256 * MIB
        assert number(home / "agentcg.calls/memory.max") < 256 * MIB
        seen = box.exec("/bin/cat", "/proc/self/cgroup")
        assert seen.stdout.strip().endswith("/agentcg.agent"), seen
    until(lambda: find(client, box.id) is None, "the session to close", 60)
    assert not home.exists()


def test_calls_of_a_container_have_leaves_and_die_alone(client: Client) -> None:
    with container(*LABEL, "-m", "400m") as box:
        record = session_of(client, box)
        where = box.exec(ACG, "run", "--call-id", "where", "--", "/bin/cat", "/proc/self/cgroup")
        assert "/agentcg.calls/c-" in where.stdout, where
        code = box.exec(ACG, "run", "--", "/bin/sh", "-c", "exit 9").returncode
        assert code == 9
        eat = "x=$(head -c 200000000 /dev/zero | tail -c 190000000 | wc -c); echo $x"
        hog = box.exec(
            ACG, "run", "--call-id", "hog", "--memory", "64MiB", "--", "/bin/sh", "-c", eat
        )
        assert hog.returncode != 0
        outcome = outcome_of(client, record, "hog")
        assert (outcome.cause, outcome.level) == (Cause.OOM, Level.CALL)
        assert box.exec("/bin/true").returncode == 0
        assert docker("inspect", "-f", "{{.State.Running}}", box.id).strip() == "true"


def test_open_by_name_and_closing_leaves_the_container_as_it_was(client: Client) -> None:
    with container() as box:
        home = cgroup_of(box.pid)
        assert find(client, box.id) is None
        opened = client.open_session({"runtime": "docker", "container": box.name})
        assert opened.session.container == box.id
        with pytest.raises(ConflictError, match="already"):
            client.open_session({"runtime": "docker", "container": box.id})
        run = box.start(ACG, "run", "--", "/bin/sleep", "600")
        until(lambda: children(home / "agentcg.calls"), "the leaf", 60)
        client.close_session(opened.session.id)
        assert run.wait(60) != 0
        assert cgroup_of(box.pid) == home
        assert children(home) == set()
        assert (home / "cgroup.subtree_control").read_text().strip() == ""
        assert box.exec("/bin/true").returncode == 0


def test_a_restarted_container_is_a_new_session(client: Client) -> None:
    with container(*LABEL) as box:
        first = session_of(client, box)
        docker("restart", "-t", "0", box.id)

        def renewed() -> bool:
            now = find(client, box.id)
            return now is not None and now.cgroup_id != first.cgroup_id

        until(renewed, "the new session", 60)
        assert cgroup_of(box.pid).name == "agentcg.agent"


# Not --cgroupns=host: runc mounts cgroup2 for it from the initial namespace, which takes nsdelegate
# and memory_recursiveprot away from the whole machine.
OUTSIDE = {
    "privileged": ("--privileged",),
    "capability": ("--cap-add", "SYS_ADMIN"),
    "host pids": ("--pid", "host"),
}


@pytest.mark.parametrize("options", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_a_container_that_could_undo_it_is_only_observed(
    client: Client, options: tuple[str, ...]
) -> None:
    with container(*LABEL, *options) as box:
        record = session_of(client, box)
        assert record.observe_only
        assert "agentcg.agent" not in children(cgroup_of(box.pid))
        with pytest.raises(ConflictError, match="only observed"):
            client.declare({"tool": "bash"}, record.id)
        assert any(c.name == f"session {record.id}" for c in client.host().mechanisms)
        run = box.exec(ACG, "run", "--", "/bin/sh", "-c", "exit 3")
        assert run.returncode == 3, run
        client.close_session(record.id)
        assert box.exec("/bin/true").returncode == 0


def _minima(home: Path) -> list[int]:
    return [number(p / "memory.min") for p in (POOL, home, home / "agentcg.calls")]


def test_a_guarantee_counts_on_every_level_and_is_taken_back(client: Client) -> None:
    with container(*LABEL, "--label", "agentcg.guarantee=128MiB") as box:
        record = session_of(client, box)
        home = cgroup_of(box.pid).parent
        assert record.budget.guarantee == 128 * MIB
        assert _minima(home) == [0, 0, 0]
        body = {"tool": "bash", "memory": {"guarantee": "64MiB", "limit": "100MiB"}}
        first = client.declare(body, record.id)
        assert first.call.grant.enforced["memory.guarantee"] == "ok"
        assert _minima(home) == [64 * MIB] * 3
        client.declare(body, record.id)
        assert _minima(home) == [128 * MIB] * 3
        assert systemctl("show", "-P", "MemoryMin", home.name) == str(128 * MIB)
        # systemd would write its own idea again on any of its occasions.
        systemctl("daemon-reload")
        assert _minima(home) == [128 * MIB] * 3
        client.close(first.call.id)
        until(lambda: _minima(home) == [64 * MIB] * 3, "the guarantee to be given back", 30)
    until(lambda: number(POOL / "memory.min") == 0, "the pool's to be given back", 60)


def test_a_container_outside_the_pool_is_told_that_guarantees_do_not_count(client: Client) -> None:
    with container(*LABEL, "--label", "agentcg.guarantee=128MiB", parent="system.slice") as box:
        record = session_of(client, box)
        made = client.declare({"tool": "bash", "memory": {"guarantee": "64MiB"}}, record.id)
        assert made.call.grant.enforced["memory.guarantee"].startswith("unsupported: ")
        assert "agentcg.slice" in made.call.grant.enforced["memory.guarantee"]


def _renewed(client: Client) -> bool:
    try:
        return client.health() != ""
    except Exception:  # noqa: BLE001 - whatever a restarting daemon's socket gives
        return False


def test_a_restart_of_the_daemon_takes_containers_up_again(client: Client) -> None:
    with container(*LABEL, "--label", "agentcg.guarantee=64MiB") as box:
        record = session_of(client, box)
        home = cgroup_of(box.pid).parent
        options = ("--call-id", "long", "--guarantee", "32MiB", "--")
        run = box.start(ACG, "run", *options, "/bin/sh", "-c", "sleep 30; exit 4")
        until(lambda: children(home / "agentcg.calls"), "the leaf", 60)
        systemctl("restart", "agentcg.service")
        until(lambda: _renewed(client), "the daemon to answer", 180)
        now = find(client, box.id)
        assert now is not None
        assert (now.id, now.cgroup_id) == (record.id, record.cgroup_id)
        until(lambda: number(POOL / "memory.min") == 32 * MIB, "the guarantee to be back", 30)
        assert run.wait(120) == 4
        systemctl("kill", "-s", "KILL", "agentcg.service")
        subprocess.run(["docker", "rm", "-f", box.id], capture_output=True, check=True)
        until(lambda: _renewed(client), "the daemon to answer", 180)
        assert find(client, box.id) is None
        until(lambda: number(POOL / "memory.min") == 0, "the guarantee to be given back", 30)


def test_a_restart_of_dockerd_loses_nothing(client: Client) -> None:
    with container(*LABEL) as box:
        session_of(client, box)
        systemctl("restart", "docker.service")
        until(lambda: find(client, box.id) is None, "the dead container's session to close", 120)
    with container(*LABEL) as another:
        until(lambda: find(client, another.id), "the watcher to be back", 60)
