"""Work started through a manager outside its session: where it goes, and that doctor says so."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.client import Client
from vm_tests.guest.containers import (
    CGROUP,
    LABEL,
    PYTHON,
    cgroup_of,
    container,
    find,
    session_of,
    systemctl,
)
from vm_tests.guest.sandbox import sandbox, until
from vm_tests.guest.test_platform import docker

pytestmark = pytest.mark.vm

UID = 1000
RUNTIME = f"XDG_RUNTIME_DIR=/run/user/{UID}"
DROP_IN = Path("/run/systemd/system/user@.service.d/runtime.conf")


@pytest.fixture
def user_manager() -> Iterator[Path]:
    """A systemd of uid 1000; without pam_systemd its runtime directory has to be named."""
    subprocess.run(["useradd", "-u", str(UID), "worker"], check=False, capture_output=True)
    DROP_IN.parent.mkdir(exist_ok=True)
    DROP_IN.write_text(f"[Service]\nEnvironment={RUNTIME}\n")
    systemctl("daemon-reload")
    unit = f"user@{UID}.service"
    systemctl("start", unit)
    yield CGROUP / systemctl("show", "-P", "ControlGroup", unit).strip("/")
    systemctl("stop", unit)
    DROP_IN.unlink()
    systemctl("daemon-reload")


def _told(client: Client, session: str) -> list[str]:
    return [c.detail for c in client.host().mechanisms if c.name == f"session {session}"]


def test_a_users_own_systemd(client: Client, user_manager: Path) -> None:
    with sandbox("user") as box:
        drop = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", RUNTIME)
        agent = box.inside(*drop, "sleep", "10000")
        escape = ("systemd-run", "--user", "--unit=escape", "sleep", "10000")
        assert box.inside(*drop, *escape).wait(60) == 0
        until((user_manager / "app.slice/escape.service").exists, "what it started")
        # Before it had dropped its rights the agent was root, which is a way out of its own.
        until(lambda: "root" not in " ".join(_told(client, "user")), "the agent to be no root")
        [told] = _told(client, "user")
        assert f"user@{UID}.service runs units for its uid" in told
        agent.kill()
        agent.wait()


def test_a_mounted_engine_socket(client: Client) -> None:
    socket = ("-v", "/run/docker.sock:/run/docker.sock")
    with container(*LABEL, *PYTHON, *socket) as box:
        session = session_of(client, box)
        start = ("run", "-d", "--network", "none", "agentcg-test/busybox", "/bin/sleep", "6000")
        made = box.exec("/usr/bin/docker", "-H", "unix:///run/docker.sock", *start)
        escaped = made.stdout.strip()
        try:
            pid = int(docker("inspect", "-f", "{{.State.Pid}}", escaped))
            assert not cgroup_of(pid).is_relative_to(box.home)
            assert find(client, escaped) is None
        finally:
            docker("rm", "-f", escaped)
        [told] = _told(client, session.id)
        assert "/run/docker.sock mounted: containers that it starts are in no session" in told
