"""`acg runc`: becomes the real runtime in any case, with what the daemon adds to an exec."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acg.client import Client, make
from tests.acg.peer import listen, ok, peer, serving
from tests.acg.test_fall_through import BAD_ANSWERS, hold
from tests.acg.test_random import random_answer

BOUND = 240 * 1024
GLOBAL = ("--root", "/run/x", "--log", "/run/exec", "--log-format", "json", "--systemd-cgroup")
SAYS = '#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done; exit 3\n'
RUNS = 200  # a process each; test_fuzz.py has many more in one


@pytest.fixture
def runtime(client: Client) -> Iterator[Path]:
    """A runtime that prints its arguments, each with a NUL, and exits with 3."""
    program = client.root / "runtime"
    program.write_text(SAYS)
    program.chmod(0o755)
    client.runtime.write_text(f"{program}\n")
    client.runtime.chmod(0o644)
    yield program
    client.runtime.unlink(missing_ok=True)


@pytest.fixture
def process(tmp_path: Path) -> Path:
    made = tmp_path / "process"
    made.write_bytes(b'{"args": ["true"], "env": ["A=\xff"]}')
    return made


def argv(process: Path | str) -> tuple[str, ...]:
    return (*GLOBAL, "exec", "--process", str(process), "--detach", "--pid-file", "/x.pid", "cid")


def words_of(said: bytes) -> list[str]:
    return said.decode("utf-8", "surrogateescape").split("\0")[:-1]


def become(client: Client, *words: str, program: Path | None = None) -> list[str]:
    done = client.run("runc", *words, program=program)
    assert (done.returncode, done.stderr) == (3, b"")
    return words_of(done.stdout)


@pytest.mark.usefixtures("runtime")
def test_an_exec_gets_the_daemons_options(client: Client, process: Path) -> None:
    words = argv(process)
    with peer(client.admin, ok(b"O--cgroup=/agentcg.calls/c-1", b"Mnot said", b"X7")) as seen:
        assert become(client, *words) == [*words[:8], "--cgroup=/agentcg.calls/c-1", *words[8:]]
    assert seen.head.startswith(b"POST /v1/acg/runc HTTP/1.1\r\n")
    assert seen.tagged(b"A") == [word.encode() for word in words]
    assert seen.tagged(b"P") == [process.read_bytes()]
    assert (seen.threads, seen.children) == (1, "")


@pytest.mark.usefixtures("runtime")
def test_the_name_is_enough(client: Client, process: Path) -> None:
    shim = client.root / "acg-runc"
    shim.symlink_to("acg")
    with peer(client.admin, ok(b"Ox")):
        done = client.run(*argv(process), program=shim)
    assert words_of(done.stdout)[7:9] == ["exec", "x"]
    shim.unlink()


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("answer", [ok(), ok(b"E" + b"A=1"), ok(*[b"Ox"] * 9)])
def test_no_options_or_too_many_are_none(client: Client, process: Path, answer: bytes) -> None:
    with peer(client.admin, answer):
        assert become(client, *argv(process)) == [*argv(process)]


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--version",),
        (*GLOBAL, "create", "--bundle", "/b", "--pid-file", "/p", "exec"),
        (*GLOBAL, "kill", "cid", "9"),
        (*GLOBAL, "exec", "cid", "true"),
        ("--root", "exec", "state", "--process", "x"),
        (*GLOBAL, "exec", "--process"),
        (*GLOBAL, "exec", "--process=/nowhere", "cid"),
        (*GLOBAL, "exec", "--process=/", "cid"),
        (*GLOBAL, "exec", "--process=/dev/null/x", *["x"] * 200),
    ],
)
def test_nothing_else_is_asked_about(client: Client, words: tuple[str, ...]) -> None:
    with listen(client.admin) as listener:
        assert become(client, *words) == [*words]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    client.admin.unlink()


@pytest.mark.usefixtures("runtime")
def test_a_process_that_cannot_be_told(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "process"
    os.mkfifo(file)
    assert become(client, *argv(file)) == [*argv(file)]
    file.unlink()
    file.write_bytes(b'{"a": "\0"}')
    with listen(client.admin) as listener:
        assert become(client, *argv(file)) == [*argv(file)]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    client.admin.unlink()


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("size", [0, BOUND, BOUND + 1, 3_000_000])
def test_a_long_process_is_not_sent(client: Client, tmp_path: Path, size: int) -> None:
    file = tmp_path / "process"
    file.write_bytes(b"x" * size)
    with peer(client.admin, ok(b"Oy")) as seen:
        assert become(client, *argv(file))[8] == "y"
    assert [len(text) for text in seen.tagged(b"P")] == ([size] if size <= BOUND else [])
    assert seen.tagged(b"T") == ([] if size <= BOUND else [b""])


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_bad_answer_is_none(client: Client, process: Path, case: str) -> None:
    with peer(client.admin, BAD_ANSWERS[case]):
        assert become(client, *argv(process)) == [*argv(process)]


@pytest.mark.usefixtures("runtime")
def test_without_a_daemon(client: Client, process: Path) -> None:
    plain = [*argv(process)]
    assert become(client, *plain) == plain
    listen(client.admin).close()
    assert become(client, *plain) == plain
    client.admin.unlink()
    (client.agent / "down").touch()
    with listen(client.admin) as listener:
        assert become(client, *plain) == plain
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    client.admin.unlink()


@pytest.mark.usefixtures("runtime")
def test_a_silent_daemon_is_given_up(client: Client, process: Path) -> None:
    with peer(client.admin, hold):
        start = time.monotonic()
        assert become(client, *argv(process), program=client.hasty) == [*argv(process)]
        assert 0.3 <= time.monotonic() - start < 5
    with listen(client.admin) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        process.write_bytes(b"x" * BOUND)
        assert become(client, *argv(process), program=client.hasty) == [*argv(process)]
    client.admin.unlink()


def test_the_file_of_the_runtime_must_be_roots(client: Client, runtime: Path) -> None:
    real = client.runtime
    assert become(client, "state") == ["state"]
    other = real.with_name("other")
    real.rename(other)
    real.symlink_to(other)
    assert not said(client)
    real.unlink()
    other.rename(real)
    for text in ("runtime", "", "\n", "x" * 5000, "/nowhere", f"{client.program}"):
        real.write_text(text)
        assert not said(client), text
    real.write_text(f"{runtime}")
    assert said(client)
    real.chmod(0o666)
    assert not said(client)
    real.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(real, 65534, 65534)
        assert not said(client)


def said(client: Client) -> bool:
    """Whether it became the one in the file; else it is one of this host, or there is none."""
    done = client.run("runc", "state-of-nothing")
    if done.stdout == b"state-of-nothing\0":
        return True
    assert done.returncode in (1, 127)
    return False


@pytest.mark.usefixtures("runtime")
def test_random_answers_and_arguments(client: Client, process: Path) -> None:
    probe = client.root / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    flags = ("-fsanitize=address,undefined", "-o", client.root / "probe")
    if subprocess.run(["gcc", probe, *flags], check=False, capture_output=True).returncode:
        pytest.skip("gcc has no AddressSanitizer here")
    make(client, "asan", client.program, 10_000)
    rng = random.Random(20241)
    added = 0
    with serving(client.admin, [fuzzed(rng) for _ in range(RUNS)]):
        for _ in range(RUNS):
            process.write_bytes(rng.randbytes(rng.choice([0, 9, 4096])).replace(b"\0", b"0"))
            words = mixed(rng, process)
            found = become(client, *words, program=client.root / "acg-asan")
            at = words.index("exec") + 1
            extra = len(found) - len(words)
            assert 0 <= extra <= 8
            assert [*found[:at], *found[at + extra :]] == words
            added += extra > 0
    assert RUNS * 0.1 < added < RUNS * 0.95


def fuzzed(rng: random.Random) -> bytes:
    """An answer with faults, which may add options without line ends."""
    if rng.random() < 0.5:
        return random_answer(rng).replace(b"\0E", b"\0O")
    texts = [rng.choice([b"O--cgroup=/a", b"O", b"Z", b"M1"]) for _ in range(rng.randrange(12))]
    return ok(*texts)


def mixed(rng: random.Random, process: Path) -> list[str]:
    """Arguments that ask, in any of the ways that there are."""
    before = rng.choice([[], [*GLOBAL], ["--debug"], ["--root", "exec"], ["--log=exec"]])
    name = str(process)
    named = rng.choice([["--process", name], [f"--process={name}"], ["-p", name]])
    noise = ["x" * rng.randrange(60) + "y" for _ in range(rng.randrange(20))]
    words = [*before, "exec", *named, *noise, "cid"]
    return [word if word != "exec" or at >= len(before) else "exe" for at, word in enumerate(words)]
