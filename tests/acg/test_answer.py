"""What an answer may have the client do."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from tests.acg.client import Client
from tests.acg.peer import ok, peer, records

ENV = ("run", "--", "/usr/bin/env")


def env_with(client: Client, *texts: bytes, env: dict[str, str] | None = None) -> list[bytes]:
    with peer(client.sock, ok(*texts)):
        done = client.run(*ENV, env=env or {})
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.splitlines()


def test_variables(client: Client) -> None:
    texts = (b"EMAKEFLAGS=-j2", b"E_x9=", b"EB=a=b")
    assert env_with(client, *texts) == [b"MAKEFLAGS=-j2", b"_x9=", b"B=a=b"]


def test_variable_replaces(client: Client) -> None:
    assert env_with(client, b"EA=2", b"EA=3", env={"A": "1", "C": "c"}) == [b"A=3", b"C=c"]


REFUSED = [
    *(b"LD_PRELOAD=/x.so", b"LD_=x", b"PATH=/evil", b"GLIBC_TUNABLES=x"),
    *(b"NAME", b"=x", b"", b"1A=x", b"A-B=x", b"A B=x", b"\xc3\xa9=x", b"BASH_FUNC_x%%=() { :; }"),
]


@pytest.mark.parametrize("variable", REFUSED)
def test_variable_refused(client: Client, variable: bytes) -> None:
    assert env_with(client, b"E" + variable, b"EA=1") == [b"A=1"]


@pytest.mark.parametrize("name", [b"PATHS", b"XPATH", b"LD", b"XLD_A", b"GLIBC_TUNABLES_"])
def test_variable_only_looks_refused(client: Client, name: bytes) -> None:
    assert env_with(client, b"E" + name + b"=1") == [name + b"=1"]


def test_message(client: Client) -> None:
    with peer(client.sock, ok(b"Mfirst", b"M", b"M\xff")):
        done = client.run("run", "--", "/bin/sh", "-c", "echo out; echo err >&2")
    assert done.stdout == b"out\n"
    assert done.stderr == b"first\n\n\xff\nerr\n"


@pytest.mark.parametrize(("text", "status"), [(b"X0", 0), (b"X7", 7), (b"X007", 7), (b"X255", 255)])
def test_exit(client: Client, text: bytes, status: int) -> None:
    with peer(client.sock, ok(b"Mno", text, b"X1", b"Mreally")):
        done = client.run("run", "--", "/bin/echo", "ran")
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"no\nreally\n")


def test_unknown_tag(client: Client) -> None:
    assert env_with(client, b"Znew", b"\xff", b"eA=0", b"EA=1") == [b"A=1"]


def test_extra_bytes_do_not_count(client: Client) -> None:
    with peer(client.sock, ok(b"EA=1") + b"X9\0"):
        assert client.run(*ENV, env={}).stdout == b"A=1\n"


HEADS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nserver: x\r\nCONTENT-LENGTH:\t 5 \r\nx:\r\n\r\n",
    b"HTTP/1.1 200\r\ncontent-length:5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 8000 + b"\r\ncontent-length: 5\r\n\r\n",
]


@pytest.mark.parametrize("head", HEADS)
def test_heads(client: Client, head: bytes) -> None:
    with peer(client.sock, head + records(b"EA=1")):
        assert client.run(*ENV, env={}).stdout == b"A=1\n"


def test_answer_in_single_bytes(client: Client) -> None:
    def dribble(conn: socket.socket) -> None:
        for byte in ok(b"EA=1", b"EB=2"):
            conn.sendall(bytes([byte]))

    with peer(client.sock, dribble):
        assert client.run(*ENV, env={}).stdout == b"A=1\nB=2\n"


def test_largest_answer(client: Client) -> None:
    text = b"Z" + b"z" * (64 * 1024 - len(records(b"EA=1")) - 2)
    with peer(client.sock, ok(text, b"EA=1")):
        assert client.run(*ENV, env={}).stdout == b"A=1\n"


def test_large_variable_reaches_command(client: Client) -> None:
    value = b"v" * 60_000
    assert env_with(client, b"EA=" + value) == [b"A=" + value]


def test_message_without_reader(client: Client) -> None:
    """Nobody reads stderr: neither SIGPIPE nor the message stops the command."""
    read, write = os.pipe()
    os.close(read)
    with peer(client.sock, ok(b"Mlost")):
        done = subprocess.run(
            [str(client.program), "run", "--", "/bin/echo", "ran"],
            stdout=subprocess.PIPE,
            stderr=write,
            check=False,
            timeout=20,
        )
    os.close(write)
    assert (done.returncode, done.stdout) == (0, b"ran\n")


def test_message_into_full_pipe(client: Client) -> None:
    """A harness that reads stderr after the exit: the message is cut, the command runs."""
    read, write = os.pipe()
    with peer(client.sock, ok(b"M" + b"m" * 60_000)), os.fdopen(read, "rb"):
        os.write(write, b"x" * 20_000)
        done = subprocess.run(
            [str(client.program), "run", "--", "/bin/echo", "ran"],
            stdout=subprocess.PIPE,
            stderr=write,
            check=False,
            timeout=20,
        )
        os.close(write)
    assert (done.returncode, done.stdout) == (0, b"ran\n")
