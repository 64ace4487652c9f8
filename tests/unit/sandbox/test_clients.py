"""Whose command line is that of a `docker exec`, and the one process that has it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from agentcg.kernel import pidfd, procfs
from agentcg.kernel.patience import Patience
from agentcg.model.container import Container
from agentcg.model.process import words_of
from agentcg.sandbox.clients import asks, find

BOX = Container(id="abcd" * 16, name="box", image="", pid=1, running=True)
COMMAND = ("bash", "-lc", "sleep 1; exit 3")


@pytest.mark.parametrize(
    "argv",
    [
        ("docker", "exec", "box", *COMMAND),
        ("docker", "exec", "-w", "/x", "-e", "A=1", "abcd", *COMMAND),
        ("/usr/bin/docker", "--host", "unix:///x", "container", "exec", BOX.id, *COMMAND),
    ],
)
def test_the_command_line_of_the_cli(argv: tuple[str, ...]) -> None:
    assert asks(argv, BOX, COMMAND)


@pytest.mark.parametrize(
    "argv",
    [
        (),
        COMMAND,
        ("docker", "exec", *COMMAND),
        ("docker", "run", "box", *COMMAND),
        ("docker", "exec", "other", *COMMAND),
        ("docker", "exec", "abc", *COMMAND),
        ("docker", "exec", "abce", *COMMAND),
        ("docker", "exec", "box", *COMMAND, "more"),
        ("docker", "exec", "box", "bash", "-lc", "sleep 1"),
        ("exec", "box", *COMMAND),
    ],
)
def test_other_command_lines(argv: tuple[str, ...]) -> None:
    assert not asks(argv, BOX, COMMAND)
    assert not asks(argv, BOX, ())


@contextmanager
def running(*words: str) -> Iterator[int]:
    """A process that sleeps under the name and the arguments of the CLI."""
    code = (
        "import ctypes, sys, time; ctypes.CDLL(None).prctl(15, b'docker'); "
        "print(flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_one_is_found_and_two_are_none() -> None:
    words = ("exec", "box", *COMMAND)
    assert find(Patience(), BOX, COMMAND, 0) is None
    with ExitStack() as stack:
        pid = stack.enter_context(running(*words))
        stack.enter_context(running("exec", "other", *COMMAND))
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert find(Patience(), BOX, COMMAND, now + 1) is None
        found = find(Patience(), BOX, COMMAND, now - 60)
        assert found is not None
        assert pidfd.pid_of(found) == pid
        os.close(found)
        stack.enter_context(running(*words))
        assert find(Patience(), BOX, COMMAND, 0) is None


def test_who_keeps_the_reader_waiting_does_so_in_its_own_cgroup_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()
    asked: list[int] = []

    def arguments(pid: int, _most: int) -> bytes:
        asked.append(pid)
        if pid < 13:
            go_on.wait(60)
        return b"\0".join(word.encode() for word in ("docker", "exec", "box", *COMMAND)) + b"\0"

    monkeypatch.setattr(procfs, "pids", lambda: [11, 12, 13])
    monkeypatch.setattr(procfs, "comm", lambda _: "docker")
    monkeypatch.setattr(procfs, "start_time", lambda _: 1)
    monkeypatch.setattr(procfs, "cgroup_path", lambda pid: "/user" if pid == 13 else "/agent")
    monkeypatch.setattr(procfs, "arguments", arguments)
    monkeypatch.setattr(pidfd, "open", lambda _: os.open("/dev/null", os.O_RDONLY))
    monkeypatch.setattr(pidfd, "alive", lambda _: True)
    try:
        found = find(Patience(1.0), BOX, COMMAND, 0)
    finally:
        go_on.set()
    # The first spends what may be waited in a second; the next begins.
    assert asked[:2] == [11, 13]
    assert found is not None
    os.close(found)


def test_processes_and_their_arguments() -> None:
    assert os.getpid() in procfs.pids()
    said = procfs.arguments(os.getpid(), 1 << 20)
    assert [*words_of(said)][1:] == sys.orig_argv[1:]
    assert procfs.arguments(os.getpid(), 3) == said[:3]
