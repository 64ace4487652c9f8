"""pidfds of our own children: no root needed."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from agentcg.errors import BadValueError, ProcessGoneError
from agentcg.kernel import pidfd, procfs


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_open_checks_the_start_time(child: subprocess.Popen[bytes]) -> None:
    start = procfs.start_time(child.pid)
    fd = pidfd.open(child.pid, start)
    assert pidfd.alive(fd)
    assert pidfd.pid_of(fd) == child.pid
    os.close(fd)
    with pytest.raises(ProcessGoneError, match="another process"):
        pidfd.open(child.pid, start - 1)


def test_open_of_the_dead(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    with pytest.raises(ProcessGoneError):
        pidfd.open(child.pid)
    with pytest.raises(ProcessGoneError):
        pidfd.open(-5)


async def test_two_waiters(child: subprocess.Popen[bytes]) -> None:
    fd = pidfd.open(child.pid)
    try:
        waiters = [asyncio.create_task(pidfd.wait(fd)) for _ in range(2)]
        cancelled = asyncio.create_task(pidfd.wait(fd))
        await asyncio.sleep(0.02)
        cancelled.cancel()
        assert not any(waiter.done() for waiter in waiters)
        child.kill()
        async with asyncio.timeout(30):
            await asyncio.gather(*waiters)
            await pidfd.wait(fd)
        assert not pidfd.alive(fd)
    finally:
        os.close(fd)


def test_a_file_is_no_pidfd() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        with pytest.raises(BadValueError):
            pidfd.pid_of(fd)
    finally:
        os.close(fd)


def test_peer_cred() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert pidfd.peer_cred(ours) == (os.getpid(), os.getuid(), os.getgid())
