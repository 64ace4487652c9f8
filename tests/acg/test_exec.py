"""The command takes the client's place: status, signals and descriptors are its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acg.client import Client
from tests.acg.peer import ok, peer

USAGE = b"usage: acg run [option...] -- command [argument...]\n"


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("run",),
        ("run", "x"),
        ("run", "--"),
        ("run", "x", "--"),
        ("walk",),
        ("pause", "x"),
        ("",),
    ],
)
def test_usage(client: Client, args: tuple[str, ...]) -> None:
    done = client.run(*args)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(USAGE)


def test_version(client: Client) -> None:
    text = (Path(__file__).parents[2] / "agentcg" / "__init__.py").read_text()
    version = text.split('__version__ = "')[1].split('"')[0]
    done = client.run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"acg {version}\n".encode(), b"")


def test_help(client: Client) -> None:
    done = client.run("--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(USAGE)


@pytest.mark.parametrize("answered", [False, True])
def test_status_passes(client: Client, answered: bool) -> None:
    command = ("run", "--", "/bin/sh", "-c", "exit 42")
    if not answered:
        assert client.run(*command).returncode == 42
        return
    with peer(client.sock, ok(b"EA=1")):
        assert client.run(*command).returncode == 42


def test_signal_passes(client: Client) -> None:
    with peer(client.sock, ok()):
        done = client.run("run", "--", "/bin/sh", "-c", "kill -TERM $$")
    assert done.returncode == -signal.SIGTERM


def test_path_search(client: Client) -> None:
    assert client.run("run", "--", "true", env={"PATH": "/bin"}).returncode == 0
    assert client.run("run", "--", "true", env={"PATH": "/nowhere"}).returncode == 127
    assert client.run("run", "--", "true", env={}).returncode == 0


def test_no_such_command(client: Client) -> None:
    done = client.run("run", "--", "/no/such", "x")
    assert done.returncode == 127
    assert done.stderr == b"acg: /no/such: No such file or directory\n"


@pytest.mark.parametrize("kind", ["directory", "no mode", "no format"])
def test_not_a_program(client: Client, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"\x01\x02\x03")
        path.chmod(0o755 if kind == "no format" else 0o644)
    done = client.run("run", "--", str(path))
    assert done.returncode == 126
    error = "Exec format error" if kind == "no format" else "Permission denied"
    assert done.stderr == f"acg: {path}: {error}\n".encode()


def test_long_name_is_cut(client: Client) -> None:
    done = client.run("run", "--", "/" + "x" * 3000)
    assert done.returncode == 126
    assert len(done.stderr) == 1025
    assert done.stderr.endswith(b"x\n")


@pytest.mark.parametrize("answered", [False, True])
def test_no_descriptor_leaks(client: Client, answered: bool) -> None:
    command = [str(client.program), "run", "--", "/bin/ls", "/proc/self/fd"]
    plain = subprocess.run(command[3:], capture_output=True, check=True).stdout
    if not answered:
        assert subprocess.run(command, capture_output=True, check=True).stdout == plain
        return
    with peer(client.sock, ok(b"Mx")):
        assert subprocess.run(command, capture_output=True, check=True).stdout == plain


def test_descriptors_pass(client: Client) -> None:
    """Standard input is left unread, others stay open."""
    read, write = os.pipe()
    with peer(client.sock, ok()):
        done = subprocess.run(
            [
                str(client.program),
                "run",
                "--",
                "/bin/sh",
                "-c",
                f"cat; echo more >/proc/self/fd/{write}",
            ],
            input=b"in",
            capture_output=True,
            pass_fds=[write],
            check=True,
        )
    os.close(write)
    with os.fdopen(read, "rb") as end:
        assert (done.stdout, end.read()) == (b"in", b"more\n")


def test_closed_standard_descriptors(client: Client, tmp_path: Path) -> None:
    """The socket may become descriptor 0, 1 or 2: no message goes there, and it is gone at exec."""
    out = tmp_path / "out"
    with peer(client.sock, ok(b"Mmessage")) as seen:
        subprocess.run(
            [
                "/bin/sh",
                "-c",
                'exec "$0" run -- ls /proc/self/fd >"$1" <&- 2>&-',
                client.program,
                out,
            ],
            check=True,
        )
    assert "2" not in out.read_text().split()
    assert seen.body


SIGNAL_STATE = "grep -E '^Sig(Blk|Ign|Cgt|Pnd)' /proc/self/status"


@pytest.mark.parametrize("ignored", [[], [signal.SIGPIPE, signal.SIGINT]])
def test_signal_dispositions(client: Client, ignored: list[signal.Signals]) -> None:
    script = "import os,signal,sys\n"
    script += "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
    script += "".join(f"signal.signal({int(s)}, signal.SIG_IGN)\n" for s in ignored)
    script += "os.execv(sys.argv[1], sys.argv[1:])\n"
    shell = ["/bin/sh", "-c", SIGNAL_STATE]
    start = [sys.executable, "-I", "-c", script]
    plain = subprocess.run([*start, *shell], capture_output=True, check=True)
    with peer(client.sock, ok(b"Mx")):
        command = [*start, str(client.program), "run", "--", *shell]
        through = subprocess.run(command, capture_output=True, check=True)
    assert through.stdout == plain.stdout


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_while_waiting(client: Client, sig: signal.Signals) -> None:
    process: list[subprocess.Popen[bytes]] = []

    def kill(_conn: object) -> None:
        while not process:
            time.sleep(0.01)
        process[0].send_signal(sig)
        process[0].wait(timeout=10)

    # These tests may themselves be run by nohup.
    start = ("env", f"--default-signal={sig.name[3:]}")
    with peer(client.sock, kill):
        process.append(subprocess.Popen([*start, str(client.program), "run", "--", "/bin/true"]))
    assert process[0].wait(timeout=10) == -sig


def test_stopped_while_waiting(client: Client) -> None:
    """An answer that came while the process was stopped counts, even after the deadline."""
    process: list[subprocess.Popen[bytes]] = []
    command = [str(client.hasty), "run", "--", "/bin/true"]

    def answer(conn: socket.socket) -> None:
        stop(process)
        conn.sendall(ok(b"X9"))

    with peer(client.sock, answer):
        process.append(subprocess.Popen(command))
    time.sleep(0.5)
    process[0].send_signal(signal.SIGCONT)
    assert process[0].wait(timeout=10) == 9


def stop(process: list[subprocess.Popen[bytes]]) -> None:
    while not process:
        time.sleep(0.01)
    process[0].send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process[0].pid, os.WSTOPPED | os.WNOWAIT)
