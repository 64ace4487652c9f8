"""Leases of GPU memory by the real daemon, with a driver that tells what a test has it tell."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.nvml import GIB, ONE, Driver, inherited
from tests.root.daemon import ACG, RUN, Daemon, until

pytestmark = pytest.mark.root

ASK = str(Path(__file__).with_name("ask.py"))
# The driver itself holds the leases; test_gpu_guards.py has the other guards.
SETTINGS = {"enabled": True, "reserve": "4GiB", "require": "driver"}
SHOW = ["sh", "-c", 'echo "gpu=$CUDA_VISIBLE_DEVICES"; read end']
PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


LEASING = pytest.mark.parametrize("daemon", [{"gpu": SETTINGS}], indirect=True)


@pytest.fixture(autouse=True)
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """80 GiB, of which 1 is reserved and 9 are used."""
    made = inherited(tmp_path, monkeypatch)
    made.one("limits")
    return made


def _leases(daemon: Daemon) -> dict[str, Any]:
    """By call."""
    return {one["call"]: one for one in daemon.ask("GET", "/v1/gpu").json()["leases"]}


def _declare(daemon: Daemon, session: str = "one", **gpu: Any) -> Any:
    answer = daemon.ask("POST", f"/v1/sessions/{session}/calls", {"tool": "torch", "gpu": gpu})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _told(daemon: Daemon) -> list[str]:
    return [line.split()[1] for line in daemon.log.splitlines() if line.startswith("INFO gpu.")]


@LEASING
def test_a_lease_lasts_as_long_as_its_call_and_a_restart_between(
    driver: Driver, daemon: Daemon
) -> None:
    run = daemon.acg("--gpu", "8GiB", "--", *SHOW, **PIPES)
    assert run.stdout is not None
    assert run.stdout.readline() == f"gpu={ONE}\n"
    ((call, lease),) = _leases(daemon).items()
    assert (lease["state"], lease["bytes"], lease["guard"]) == ("granted", 8 * GIB, "driver")
    view = daemon.ask("GET", f"/v1/calls/{call}").json()
    assert view["leases"] == [lease]
    assert view["call"]["grant"]["enforced"]["gpu"] == "ok: by the driver"
    leaf = str(daemon.calls / call)
    assert driver.limits[-1].split() == [ONE, str(8 * GIB), str(8 * GIB), leaf]
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert _leases(daemon)[call]["id"] == lease["id"]
    run.communicate("\n", timeout=20)
    assert run.returncode == 0
    until(lambda: "gpu.ended" in _told(daemon), "the lease to end")
    # Nothing of it is left in the driver, where the leaf is no more.
    assert driver.limits[-1].split()[1:3] != [str(8 * GIB)] * 2


@LEASING
def test_who_finds_no_room_is_told_why_or_waits(daemon: Daemon) -> None:
    first = _declare(daemon, memory="60GiB")
    (lease,) = first["leases"]
    assert first["call"]["grant"]["env"]["CUDA_VISIBLE_DEVICES"] == ONE
    denied = daemon.acg("--gpu=60GiB", "--", "echo", "ran", **PIPES)
    out, err = denied.communicate(timeout=20)
    assert (denied.returncode, out) == (125, "")
    assert "agentcg: Denied 60 GiB of GPU memory" in err
    hint = "AGENT_RESOURCE_HINT=gpu:60g,gpu_on_deny:cpu"
    on_cpu = daemon.inside("env", hint, str(ACG), "run", "--", *SHOW, **PIPES)
    assert on_cpu.communicate("\n", timeout=20)[0] == "gpu=\n"
    queued = _declare(daemon, memory="60GiB", wait="50s")
    call = queued["call"]["id"]
    assert queued["leases"][0]["state"] == "queued"
    assert queued["call"]["grant"]["env"]["CUDA_VISIBLE_DEVICES"] == ""
    assert daemon.ask("DELETE", f"/v1/gpu/leases/{lease['id']}").status_code == 200
    until(lambda: _leases(daemon)[call]["state"] == "granted", "room for the second")
    grant = daemon.call(call)["grant"]
    assert grant["env"]["CUDA_VISIBLE_DEVICES"] == ONE
    assert grant["enforced"]["gpu"] == "ok: by the driver"


def _ask(daemon: Daemon, name: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Ask from inside a session."""
    words = [sys.executable, ASK, str(RUN / "agent/sock"), method, path]
    words += [] if body is None else [json.dumps(body)]
    out, _ = daemon.inside(*words, name=name, stdout=subprocess.PIPE).communicate(timeout=20)
    answer = json.loads(out)
    return answer["status"], answer["body"]


@LEASING
def test_leases_and_programs_of_others_do_not_exist(daemon: Daemon) -> None:
    daemon.open("two")
    made = _declare(daemon, memory="1GiB")
    path = f"/v1/gpu/leases/{made['leases'][0]['id']}"
    event = {"event": "tool_start", "tool": "pytest", "eta": "5s"}
    assert _ask(daemon, "one", "GET", path)[0] == 200
    assert _ask(daemon, "one", "POST", "/v1/programs/p-1/events", event)[0] == 200
    told, mine = _ask(daemon, "two", "POST", "/v1/programs/p-1/events", event)
    assert (told, mine["session"]) == (200, "two")  # its own: ids are a session's
    status, body = _ask(daemon, "two", "GET", "/v1/gpu")
    assert (status, body["leases"]) == (200, [])
    for method, said in (("GET", None), ("PATCH", {"memory": "2GiB"}), ("DELETE", None)):
        assert _ask(daemon, "two", method, path, said)[0] == 404
    asked = {"call": made["call"]["id"], "memory": "1GiB"}
    assert _ask(daemon, "two", "POST", "/v1/gpu/leases", asked)[0] == 404


def test_where_it_is_off_a_call_is_told_so_and_runs(daemon: Daemon) -> None:
    run = daemon.acg("--gpu=8GiB", "--", *SHOW, env={"CUDA_VISIBLE_DEVICES": "7"}, **PIPES)
    out, err = run.communicate("\n", timeout=20)
    assert (run.returncode, out) == (0, "gpu=7\n")
    assert "no GPU memory is leased: gpu.enabled is off" in err
    (call,) = daemon.history()
    assert call["grant"]["enforced"]["gpu"].startswith("unsupported: gpu.enabled is off")
    assert daemon.ask("GET", "/v1/gpu").json()["type"] == "urn:agentcg:problem:unsupported"
