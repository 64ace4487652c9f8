"""`acg hook`: bytes in, bytes out, and in every trouble nothing, with 0, within a second."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acg.client import Client, make
from tests.acg.peer import listen, peer, serving
from tests.acg.test_fall_through import BAD_ANSWERS, fill_backlog, hold

SAID = b'{"hook_event_name": "PreToolUse"}'
BOUND = 256 * 1024


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def silent(client: Client, program: Path | None = None, said: bytes = SAID) -> float:
    start = time.monotonic()
    done = client.run("hook", "claude-code", program=program, said=said)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return time.monotonic() - start


@pytest.mark.parametrize("said", [SAID, b"", b"\0\xff not JSON \n", os.urandom(70_000)])
def test_what_is_said_goes_on_and_the_answer_comes_back(client: Client, said: bytes) -> None:
    with peer(client.sock, answer(b'{"a": "\xc3\xa4\0"}')) as seen:
        done = client.run("hook", "claude-code", said=said)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{"a": "\xc3\xa4\0"}', b"")
    assert seen.head.startswith(b"POST /v1/hooks/claude-code HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in seen.head
    assert seen.body == said


@pytest.mark.parametrize("size", [BOUND, BOUND + 1, 3_000_000])
def test_of_huge_words_the_beginning_goes_on_and_all_is_read(client: Client, size: int) -> None:
    with peer(client.sock, answer(b"")) as seen:
        assert silent(client, said=b"x" * size) < 5
    assert len(seen.body) == BOUND


def test_all_is_read_where_nobody_listens(client: Client) -> None:
    assert silent(client, said=b"x" * 3_000_000) < 5
    listen(client.sock).close()
    assert silent(client, said=b"x" * 3_000_000) < 5


def test_down(client: Client) -> None:
    (client.agent / "down").touch()
    with listen(client.sock) as listener:
        assert silent(client) < 5
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


LOCK = (
    "import fcntl, sys\nf = open(sys.argv[1], 'r+')\nfcntl.lockf(f, int(sys.argv[2]))\n"
    "print(flush=True)\ninput()"
)


@contextlib.contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    """Another process has a lock of this kind."""
    argv = [sys.executable, "-c", LOCK, str(path), str(kind)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        yield
        process.kill()


def test_a_dead_daemon_is_known_while_its_socket_listens(client: Client) -> None:
    alive = client.agent / "alive"
    alive.touch(0o644)
    with listen(client.sock) as listener:
        listener.setblocking(False)
        silent(client)
        with locked(alive, fcntl.LOCK_SH):  # as any agent may have
            silent(client)
        done = client.run("hook", "codex", user=1000 if os.geteuid() == 0 else None)
        assert (done.returncode, done.stdout) == (0, b"")
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_living_daemon_is_asked(client: Client) -> None:
    alive = client.agent / "alive"
    alive.touch(0o644)
    with locked(alive, fcntl.LOCK_EX), peer(client.sock, answer(b"{}")):
        assert client.run("hook", "codex", said=SAID).stdout == b"{}"
    alive.unlink()
    (client.agent / "other").touch()
    alive.symlink_to(client.agent / "other")  # tells nothing
    with peer(client.sock, answer(b"{}")):
        assert client.run("hook", "codex", said=SAID).stdout == b"{}"


# Of records nothing is known here: a body of any kind is a good one.
FAULTS = {
    name: BAD_ANSWERS[name]
    for name in ("nothing", "500", "409", "204", "garbage", "half a body", "chunked", "large body")
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_bad_answer_is_none(client: Client, case: str) -> None:
    with peer(client.sock, FAULTS[case]):
        assert silent(client) < 5


def test_a_silent_daemon_is_given_up(client: Client) -> None:
    with peer(client.sock, hold):
        assert 0.3 <= silent(client, client.hasty) < 5


def test_the_shipped_deadline_is_that_of_hooks(client: Client) -> None:
    with listen(client.sock):
        best = min(silent(client) for _ in range(3))
    assert 0.85 <= best < 2


def test_a_daemon_that_does_not_read_is_given_up(client: Client) -> None:
    with listen(client.sock) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert 0.3 <= silent(client, client.hasty, b"x" * BOUND) < 5


def test_a_full_backlog_is_given_up(client: Client) -> None:
    with listen(client.sock, backlog=0):
        waiting = fill_backlog(client)
        assert 0.3 <= silent(client, client.hasty) < 5
        for one in waiting:
            one.close()


def test_a_harness_that_never_ends_its_words_is_given_up(client: Client) -> None:
    start = time.monotonic()
    with subprocess.Popen(
        [client.hasty, "hook", "codex"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"{")
        process.stdin.flush()
        assert process.wait(30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert 0.3 <= time.monotonic() - start < 5


def test_a_harness_that_does_not_listen_kills_nothing(client: Client) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with peer(client.sock, answer(b"x" * 60_000)):
        done = subprocess.run(
            [client.program, "hook", "codex"], stdin=subprocess.DEVNULL, stdout=writer, check=False
        )
    os.close(writer)
    assert done.returncode == 0


@pytest.mark.parametrize("words", [[], ["a", "b"], [""], ["a/b"], ["../x"], ["a b"], ["x" * 33]])
def test_what_is_no_name_of_a_harness_is_bad_usage(client: Client, words: list[str]) -> None:
    done = client.run("hook", *words)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"usage: ")


def test_random_words_and_answers(client: Client) -> None:
    try:
        make(client, "asan", client.hasty, 300)
    except subprocess.CalledProcessError:
        pytest.skip("gcc has no AddressSanitizer here")
    rng = random.Random(7)
    answers = [rng.choice(list(BAD_ANSWERS.values())) for _ in range(60)]
    with serving(client.sock, answers):
        for _ in answers:
            said = rng.randbytes(rng.choice([0, 1, 100, 5000, 70_000]))
            done = client.run("hook", "gemini", program=client.asan, said=said)
            assert (done.returncode, done.stderr) == (0, b"")
