"""The file itself, and `acg pause`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acg.client import SOURCES, Client

PT_DYNAMIC, PT_INTERP = 2, 3


def program_headers(data: bytes) -> set[int]:
    offset = int.from_bytes(data[32:40], "little")
    size, count = (int.from_bytes(data[i : i + 2], "little") for i in (54, 56))
    return {
        int.from_bytes(data[at : at + 4], "little")
        for at in range(offset, offset + size * count, size)
    }


def test_small_and_static(client: Client) -> None:
    data = client.program.read_bytes()
    assert data.startswith(b"\x7fELF\x02\x01")
    assert len(data) < 100_000
    assert not program_headers(data) & {PT_DYNAMIC, PT_INTERP}
    assert b".symtab" not in data


def test_nothing_from_environment(client: Client) -> None:
    """The shipped build names its own socket whatever make finds in the environment."""
    out = client.root / "shipped"
    env = os.environ | {"ACG_DIR": "/evil", "DEADLINE_MS": "1"}
    command = ["make", "-s", "-C", str(SOURCES), f"OUT={out}"]
    subprocess.run(command, env=env, check=True)
    data = out.read_bytes()
    assert b"/run/agentcg/agent/sock" in data
    assert b"/evil" not in data


@contextlib.contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not in time: {what}")
        time.sleep(0.01)


def wait_asleep(pid: int) -> None:
    """Wait until the client sleeps, which `acg pause` does only where it waits for signals."""
    stat = Path(f"/proc/{pid}/stat")
    wait_until("acg pause sleeps", lambda: "(acg) S" in stat.read_text())


def children(pid: int) -> Path:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not Path("/proc/self/task", str(os.getpid()), "children").exists():
        pytest.skip("needs /proc/PID/task/TID/children")
    return path


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_pause(client: Client, sig: signal.Signals) -> None:
    with started(str(client.program), "pause") as process:
        wait_asleep(process.pid)
        process.send_signal(sig)
        assert process.wait(timeout=10) == 0


def test_pause_reaps(client: Client) -> None:
    """Children from before the exec, dead or alive, leave no zombie."""
    script = 'true & sleep 0.3 & exec "$0" pause'
    with started("/bin/sh", "-c", script, str(client.program)) as process:
        wait_asleep(process.pid)
        path = children(process.pid)
        wait_until("children are reaped", lambda: not path.read_text())
        process.terminate()
        assert process.wait(timeout=10) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace needs root")
def test_pause_as_pid_1(client: Client) -> None:
    program = str(client.program)
    with started("unshare", "--pid", "--fork", "--kill-child", program, "pause") as process:
        path = children(process.pid)
        wait_until("unshare forks", lambda: process.poll() is not None or bool(path.read_text()))
        if process.returncode is not None:
            pytest.skip("no pid namespace here")
        pid = int(path.read_text())
        wait_asleep(pid)
        os.kill(pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
