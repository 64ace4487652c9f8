"""No usable answer: the command runs as if the client were not there, without a word."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.acg.client import Client
from tests.acg.peer import Seen, listen, ok, peer, records, serve_one, serving

ENV = {"A": "old", "AGENTCG_X": "y"}


def assert_unchanged(client: Client, program: Path | None = None) -> float:
    start = time.monotonic()
    done = client.run("run", "--opt", "--", "/usr/bin/env", env=ENV, program=program)
    assert done.returncode == 0
    assert done.stdout == b"A=old\nAGENTCG_X=y\n"
    assert done.stderr == b""
    return time.monotonic() - start


def test_no_socket(client: Client) -> None:
    assert assert_unchanged(client) < 5


def test_refused(client: Client) -> None:
    listen(client.sock).close()
    assert assert_unchanged(client) < 5


def test_not_a_socket(client: Client) -> None:
    client.sock.write_bytes(b"")
    assert assert_unchanged(client) < 5


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the uid needs root")
def test_no_permission(client: Client) -> None:
    with listen(client.sock):
        client.sock.chmod(0o600)
        done = client.run("run", "--", "/usr/bin/id", "-u", user=1000)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1000\n", b"")


@pytest.mark.parametrize("dangling", [False, True])
def test_down(client: Client, dangling: bool) -> None:
    down = client.agent / "down"
    if dangling:
        down.symlink_to("nowhere")
    else:
        down.touch()
    with listen(client.sock) as listener:
        assert assert_unchanged(client) < 5
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


GOOD = records(b"EA=new", b"Mmessage", b"X9")
HEAD = b"HTTP/1.1 200 OK\r\n"
LARGE = GOOD + b"Z" * (65536 - len(GOOD)) + b"\0"  # a byte too many
SIZED = HEAD + b"content-length: %d\r\n" % len(GOOD)

BAD_ANSWERS = {
    "nothing": b"",
    "500": b"HTTP/1.1 500 Oops\r\n\r\n" + GOOD,
    "409": b"HTTP/1.1 409 Conflict\r\n\r\n" + GOOD,
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"X9"),
    "2000": b"HTTP/1.1 2000 OK\r\n\r\n" + GOOD,
    "http 2": b"HTTP/2.0 200 OK\r\n\r\n" + GOOD,
    "garbage": b"\x00\xff garbage \r\n\r\n" + GOOD,
    "no head": GOOD,
    "bare newlines": b"HTTP/1.1 200 OK\n\n" + GOOD,
    "half a head": SIZED,
    "half a body": SIZED + b"\r\n" + GOOD[:-3],
    "half a record": HEAD + b"\r\n" + GOOD[:-1],
    "length cuts a record": HEAD + b"content-length: %d\r\n\r\n" % (len(GOOD) - 1) + GOOD,
    "chunked": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(GOOD)
    + GOOD
    + b"\r\n0\r\n\r\n",
    "chunked and sized": SIZED + b"transfer-encoding: chunked\r\n\r\n" + GOOD,
    "two lengths": SIZED + b"content-length: %d\r\n\r\n" % len(GOOD) + GOOD,
    "no length": HEAD + b"content-length:\r\n\r\n" + GOOD,
    "negative length": HEAD + b"content-length: -1\r\n\r\n" + GOOD,
    "hex length": HEAD + b"content-length: 0x10\r\n\r\n" + GOOD,
    "two numbers": HEAD + b"content-length: 1, 1\r\n\r\n" + GOOD,
    "overflowing length": HEAD + b"content-length: 18446744073709551617\r\n\r\n" + GOOD,
    "large length": HEAD + b"content-length: 65537\r\n\r\n" + LARGE,
    "large body": HEAD + b"\r\n" + LARGE,
    "huge body": HEAD + b"\r\n" + GOOD + b"Z\0" * 500_000,
    "huge head": HEAD + b"x: y\r\n" * 2000 + b"\r\n" + GOOD,
    "endless head": HEAD + b"x" * 200_000,
    "folded": SIZED + b" more: x\r\n\r\n" + GOOD,
    "blank in a name": SIZED + b"a b: x\r\n\r\n" + GOOD,
    "no colon": SIZED + b"field\r\n\r\n" + GOOD,
    "no name": SIZED + b": x\r\n\r\n" + GOOD,
    "no tag": ok(b"EA=new", b"", b"X9"),
    "only a terminator": ok(b""),
    "exit 256": ok(b"EA=new", b"Mmessage", b"X256"),
    "exit with words": ok(b"EA=new", b"X1 "),
    "exit without status": ok(b"EA=new", b"X"),
    "negative exit": ok(b"EA=new", b"X-1"),
    "long exit": ok(b"EA=new", b"X0001"),
    "second exit is bad": ok(b"X1", b"Xx"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_bad_answer(client: Client, case: str) -> None:
    with peer(client.sock, BAD_ANSWERS[case]):
        assert assert_unchanged(client) < 5


def test_closed_before_reading(client: Client) -> None:
    with listen(client.sock) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        assert assert_unchanged(client) < 5
        thread.join()


def hold(conn: socket.socket) -> None:
    """Wait until the client has gone."""
    conn.settimeout(10)
    assert conn.recv(1) == b""


def test_silent(client: Client) -> None:
    with peer(client.sock, hold):
        assert 0.3 <= assert_unchanged(client, client.hasty) < 5


@pytest.mark.parametrize("part", [b"HTTP", SIZED, SIZED + b"\r\n" + GOOD[:-1]])
def test_stuck(client: Client, part: bytes) -> None:
    def stick(conn: socket.socket) -> None:
        conn.sendall(part)
        hold(conn)

    with peer(client.sock, stick):
        assert 0.3 <= assert_unchanged(client, client.hasty) < 5


def test_dripping(client: Client) -> None:
    """A byte now and then does not move the deadline."""

    def drip(conn: socket.socket) -> None:
        while True:
            conn.sendall(b"H")
            time.sleep(0.05)

    with peer(client.sock, drip):
        assert 0.3 <= assert_unchanged(client, client.hasty) < 5


def test_never_accepted(client: Client) -> None:
    with listen(client.sock):
        assert 0.3 <= assert_unchanged(client, client.hasty) < 5


def fill_backlog(client: Client) -> list[socket.socket]:
    waiting: list[socket.socket] = []
    while True:
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)
        try:
            one.connect(str(client.sock))
        except BlockingIOError:
            one.close()
            return waiting
        waiting.append(one)


def test_full_backlog(client: Client) -> None:
    with listen(client.sock, backlog=0):
        waiting = fill_backlog(client)
        assert 0.3 <= assert_unchanged(client, client.hasty) < 5
        for one in waiting:
            one.close()


def test_full_backlog_that_empties(client: Client) -> None:
    """A busy daemon is waited for."""
    seen = Seen()
    with listen(client.sock, backlog=0) as listener:
        waiting = fill_backlog(client)

        def work() -> None:
            time.sleep(0.2)
            for one in waiting:
                one.close()
                listener.accept()[0].close()
            serve_one(listener, lambda conn: conn.sendall(ok(b"X9")), seen)

        thread = threading.Thread(target=work)
        thread.start()
        assert client.run("run", "--", "/bin/true").returncode == 9
        thread.join()


BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"


def test_a_busy_daemon_is_asked_again(client: Client) -> None:
    with serving(client.sock, [BUSY, BUSY, ok(b"EA=new")]) as seen:
        done = client.run("run", "--", "/usr/bin/env", env=ENV)
    assert b"A=new\n" in done.stdout
    assert len(seen) == 3


def test_a_daemon_that_stays_busy_is_given_up(client: Client) -> None:
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            # The client may be gone before it is looked at.
            with contextlib.suppress(TimeoutError, FileNotFoundError):
                serve_one(listener, lambda conn: conn.sendall(BUSY), Seen())

    with listen(client.sock) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert 0.3 <= assert_unchanged(client, client.hasty) < 3
        finally:
            over.set()
            thread.join()
