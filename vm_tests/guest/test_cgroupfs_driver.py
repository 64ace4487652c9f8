"""Docker's other cgroup driver: it makes directories itself, and systemd knows nothing of them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.client import Client
from vm_tests.guest.containers import ACG, LABEL, POOL, children, container, find, session_of
from vm_tests.guest.sandbox import MIB, number, until
from vm_tests.guest.test_platform import docker

pytestmark = pytest.mark.vm

CONFIG = Path("/etc/docker/daemon.json")


def _restart() -> None:
    subprocess.run(["systemctl", "restart", "docker.service"], check=True, timeout=240)


@pytest.fixture
def cgroupfs() -> Iterator[None]:
    """The engine with that driver, until the test is over."""
    before = CONFIG.read_text() if CONFIG.exists() else None
    changed = {**json.loads(before or "{}"), "exec-opts": ["native.cgroupdriver=cgroupfs"]}
    CONFIG.write_text(json.dumps(changed))
    try:
        _restart()
        assert docker("info", "-f", "{{.CgroupDriver}}").strip() == "cgroupfs"
        yield
    finally:
        CONFIG.unlink() if before is None else CONFIG.write_text(before)
        _restart()


@pytest.mark.usefixtures("cgroupfs")
def test_a_container_of_the_cgroupfs_driver_is_a_session_like_any_other(client: Client) -> None:
    limits = ("-m", "256m", "--memory-swap", "256m")
    with container(*LABEL, *limits, parent="/agentcg.slice") as box:
        record = session_of(client, box)
        assert record.observe_only is None
        assert box.home == POOL / box.id
        assert number(box.home / "memory.max") == 256 * MIB
        where = box.exec(ACG, "run", "--memory", "64MiB", "--", "/bin/cat", "/proc/self/cgroup")
        assert "/agentcg.calls/c-" in where.stdout, where
        assert box.exec(ACG, "run", "--", "/bin/sh", "-c", "exit 9").returncode == 9
        until(lambda: children(box.home / "agentcg.calls") == set(), "the leaves to go")
    until(lambda: find(client, box.id) is None, "the session to close", 60)
