"""The daemon as systemd runs it: its unit, its sockets, and what holds while it is stopped."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from agentcg.client import Client
from agentcg.errors import AgentcgError
from vm_tests.guest.sandbox import Sandbox, sandbox, until

pytestmark = pytest.mark.vm

SOCKETS = (Path("/run/agentcg/admin.sock"), Path("/run/agentcg/agent/sock"))


CONFIG = Path("/etc/agentcg/agentcg.yaml")


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _answers(box: Sandbox) -> bool:
    try:
        return box.client.health() != ""
    except AgentcgError:
        return False


def test_the_daemon_is_up_and_the_slice_is_its_own() -> None:
    assert systemctl("is-active", "agentcg.service") == "active"
    group = systemctl("show", "-P", "ControlGroup", "agentcg.service")
    assert group == "/system.slice/agentcg.service"
    assert systemctl("is-active", "agentcg-keeper.service") == "active"


def test_sockets_have_the_modes_that_the_design_gives_them() -> None:
    assert [oct(s.stat().st_mode & 0o777) for s in SOCKETS] == ["0o660", "0o666"]
    assert SOCKETS[0].group() == "agentcg"


def test_a_stopped_daemon_stops_no_command() -> None:
    with sandbox("away") as box:
        systemctl("stop", "agentcg.service", "agentcg-admin.socket", "agentcg-agent.socket")
        try:
            assert Path("/run/agentcg/agent/down").exists()
            assert box.run("--", "sh", "-c", "exit 5").wait(20) == 5
        finally:
            systemctl("start", "agentcg-admin.socket", "agentcg-agent.socket", "agentcg.service")
        until(lambda: _answers(box), "the daemon to answer", 180)
        assert box.run("--call-id", "back", "--", "true").wait(60) == 0
        assert box.outcome("back").exit_code == 0


def test_doctor_finds_everything_that_this_host_has() -> None:
    done = subprocess.run(
        ["/opt/agentcg/bin/agentcg", "doctor", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for name in ("memory", "cpu", "pids", "cpuset", "io", "psi", "systemd", "dockerd"):
        assert f'"{name}"' in done.stdout


@pytest.fixture
def web_view() -> Iterator[None]:
    before = CONFIG.read_text()
    CONFIG.write_text(f"{before}\nweb: {{enabled: true}}\n")
    systemctl("restart", "agentcg.service")
    yield
    CONFIG.write_text(before)
    systemctl("restart", "agentcg.service")


@pytest.mark.usefixtures("web_view")
def test_the_web_view_is_served_from_within_the_unit() -> None:
    with Client() as daemon:
        address, _, secret = daemon.ui_link().url.partition("#enter=")
    assert address.startswith("http://127.0.0.1:")
    assert httpx2.get(address, timeout=60).status_code == 200
    headers = {"Authorization": f"Bearer {secret}"}
    token = httpx2.post(f"{address}/enter", headers=headers, timeout=60).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.get(f"{address[:-3]}/v1/host", headers=headers, timeout=60)
    assert answer.json()["kernel"]
