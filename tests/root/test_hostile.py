"""Hostile and broken input over the real sockets: no 5xx, no crash, no growth."""

import contextlib
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.root.daemon import ACG, REPO, RUN, Daemon, scale, until

pytestmark = pytest.mark.root

AGENT = str(RUN / "agent/sock")
ADMIN = str(RUN / "admin.sock")


def _connect(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(path)
    return sock


def _still_well(daemon: Daemon) -> None:
    assert daemon.ask("GET", "/healthz").status_code == 200
    assert daemon.acg("--", "sh", "-c", "exit 3").wait(30) == 3
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("path", [ADMIN, AGENT])
def test_random_bytes_and_half_requests(daemon: Daemon, path: str) -> None:
    dice = random.Random(7)
    heads = [b"", b"POST /v1/acg/run HTTP/1.1\r\nContent-Length: 99\r\n\r\n", b"GET / HTTP/1.1\r\n"]
    for _ in range(scale(100, 3000)):
        with _connect(path) as sock, contextlib.suppress(OSError):
            sock.sendall(dice.choice(heads) + dice.randbytes(dice.randrange(300)))
    _still_well(daemon)


def test_many_idle_connections_leave_the_doors_open(daemon: Daemon) -> None:
    assert daemon.process is not None
    process = psutil.Process(daemon.process.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            with contextlib.suppress(OSError):
                stack.enter_context(_connect(AGENT))
        _still_well(daemon)
        assert process.num_fds() < 2500
    before = process.memory_info().rss
    for _ in range(scale(1, 10)):
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                with contextlib.suppress(OSError):
                    stack.enter_context(_connect(AGENT))
    until(lambda: process.num_fds() < 100, "the descriptors to be closed", 30)
    assert process.memory_info().rss < before + 16 * 2**20


def test_a_body_beyond_the_bound_is_refused(daemon: Daemon) -> None:
    answer = daemon.ask("POST", "/v1/sessions/one/calls", {"command": "x" * 70_000})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def _extent(role: str) -> list[str]:
    """By count in small; in full by time, fuzzing anew until it is spent.

    Who may do little is answered before bodies are looked at: to vary those shows little in small.
    """
    every = "examples,coverage,fuzzing"
    phases = scale("fuzzing" if role in {"call", "stranger"} else every, every)
    return ["--phases", phases, *scale(["--max-examples", "4"], ["--max-time", "600"])]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("role", ["admin", "session", "call", "stranger"])
def test_schemathesis_finds_no_server_error(daemon: Daemon, tmp_path: Path, role: str) -> None:
    port = tmp_path / "port"
    words = [sys.executable, str(Path(__file__).with_name("bridge.py")), str(port)]
    if role == "session":
        bridge = daemon.inside(*words, AGENT)
    elif role == "call":
        bridge = daemon.inside(str(ACG), "run", "--", *words, AGENT)
    else:
        bridge = subprocess.Popen([*words, ADMIN if role == "admin" else AGENT], text=True)
    until(port.exists, "the bridge")
    until(port.read_text, "the bridge's port")
    command = [
        *(str(REPO / ".venv/bin/schemathesis"), "--config-file", "tests/root/schemathesis.toml"),
        *("run", "docs/reference/openapi.json"),
        *("--url", f"http://127.0.0.1:{port.read_text()}", "--seed", "1", "--no-color"),
        *_extent(role),
        *("--checks", "not_a_server_error", "--request-timeout", "20"),
        # A stream never ends by itself; its test is elsewhere.
        *("--exclude-path", "/v1/events"),
        # Records are no media type that schemathesis can write; the random bytes above are.
        *("--exclude-path", "/v1/acg/run", "--exclude-path", "/v1/acg/shell"),
        *("--exclude-path", "/v1/acg/runc"),
    ]
    if role == "call":
        # It may act on itself, and the bridge is part of it: that would be the end of the test.
        command += ["--exclude-path-regex", "/(kill|freeze|end)$"]
        command += ["--exclude-method", "DELETE", "--exclude-method", "PATCH"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    done = subprocess.run(
        command, cwd=REPO, capture_output=True, text=True, timeout=1100, check=False, env=env
    )
    print(done.stdout[-1500:])
    bridge.kill()
    bridge.wait()
    assert done.returncode == 0, done.stdout[-4000:]
    assert daemon.process is not None
    assert daemon.process.poll() is None
    assert "Traceback" not in daemon.log
