"""The daemon as systemd runs it: restart, crash, and what must not notice either."""

import subprocess
from pathlib import Path

import pytest

from agentcg.errors import AgentcgError
from agentcg.model.outcome import Cause
from vm_tests.guest.sandbox import Sandbox, sandbox, until

pytestmark = pytest.mark.vm

SOCKETS = (Path("/run/agentcg/admin.sock"), Path("/run/agentcg/agent/sock"))


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


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_no_call_notices_that_the_daemon_went_away(how: str) -> None:
    inodes = [s.stat().st_ino for s in SOCKETS]
    with sandbox("svc") as box:
        runs = [
            box.run("--call-id", f"r{n}", "--", "sh", "-c", f"sleep 20; exit {n}") for n in range(5)
        ]
        until(lambda: len(list(box.calls.glob("c-*"))) == 5, "the leaves")
        if how == "restart":
            systemctl("restart", "agentcg.service")
        else:
            systemctl("kill", "-s", "KILL", "agentcg.service")
        until(lambda: _answers(box), "the daemon to answer", 180)
        assert [r.poll() for r in runs] == [None] * 5
        assert [r.wait(120) for r in runs] == [0, 1, 2, 3, 4]
        for n in range(5):
            outcome = box.outcome(f"r{n}")
            assert outcome.cause in (Cause.EXITED, Cause.UNKNOWN)
            assert outcome.exit_code in (n, None)
        assert list(box.calls.glob("c-*")) == []
    assert [s.stat().st_ino for s in SOCKETS] == inodes


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
