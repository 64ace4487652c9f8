"""pidfds: who is it, where is it, how did it end."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcg.errors import ProcessGoneError, UnsupportedError
from agentcg.kernel import pidfd, procfs
from agentcg.kernel.cgroupfs import CgroupDir

pytestmark = pytest.mark.root
Spawn = Callable[..., int]


@pytest.fixture
def no_info(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel before 6.13."""

    def absent(_: int) -> pidfd.PidfdInfo:
        raise UnsupportedError("no PIDFD_GET_INFO: simulated")

    monkeypatch.setattr(pidfd, "info", absent)


@pytest.fixture
def mount() -> Path:
    return Path(os.environ.get("AGENTCG_TEST_ROOT", ""))


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    path = str(tmp_path / "sock")
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        listener.bind(path)
        listener.listen()
        client.connect(path)
        server, _ = listener.accept()
        with server:
            yield server, client


def test_peer_is_this_process_in_its_cgroup(
    cgroup_root: CgroupDir, connection: tuple[socket.socket, socket.socket], mount: Path
) -> None:
    server, _ = connection
    fd = pidfd.peer_pidfd(server)
    home = procfs.cgroup_path(os.getpid()).strip("/")
    try:
        assert pidfd.info(fd).pid == os.getpid()
        assert pidfd.pid_of(fd) == os.getpid()
        assert pidfd.peer_cred(server) == (os.getpid(), os.getuid(), os.getgid())
        with cgroup_root.make("peer") as leaf:
            leaf.move(os.getpid())
            try:
                assert pidfd.cgroup_id(fd) == leaf.id
            finally:
                with CgroupDir.open(mount) as top, top.open_path(home) as back:
                    back.move(os.getpid())
    finally:
        os.close(fd)


@pytest.mark.usefixtures("no_info")
def test_cgroup_id_by_path(cgroup_root: CgroupDir, spawn: Spawn, mount: Path) -> None:
    pid = spawn()
    fd = pidfd.open(pid)
    try:
        with cgroup_root.make("a") as a, a.make("b") as b:
            b.move(pid)
            with pytest.raises(UnsupportedError):
                pidfd.cgroup_id(fd)
            assert pidfd.cgroup_id_by_path(fd, mount) == b.id
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with pytest.raises(ProcessGoneError):
            pidfd.cgroup_id_by_path(fd, mount)
    finally:
        os.close(fd)


async def test_exit_status_of_a_zombie_and_of_a_reaped_one(
    cgroup_root: CgroupDir, spawn: Spawn
) -> None:
    pid = spawn("sh", "-c", "sleep 0.1; exit 7")
    fd = pidfd.open(pid)
    try:
        cgroup_root.move(pid)
        assert pidfd.alive(fd)
        assert pidfd.exit_status(fd, pid) is None
        async with asyncio.timeout(30):
            await pidfd.wait(fd)
        assert not pidfd.alive(fd)
        assert pidfd.exit_status(fd, pid) == 7 << 8
        os.waitpid(pid, 0)
        assert pidfd.exit_status(fd, pid) == 7 << 8
        # The kernel remembers the cgroup as well.
        assert pidfd.info(fd).cgroup_id == cgroup_root.id
    finally:
        os.close(fd)


def test_status_of_a_signal(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    pid = spawn()
    cgroup_root.move(pid)
    fd = pidfd.open(pid)
    try:
        cgroup_root.kill()
        os.waitpid(pid, 0)
        status = pidfd.exit_status(fd, pid)
        assert status is not None
        assert os.waitstatus_to_exitcode(status) == -9
    finally:
        os.close(fd)


def test_who_is_being_reaped_tells_as_well(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state lasts for an instant, unless the reaper loses its CPU in it: it is made up here."""
    pid = spawn("sh", "-c", "exit 3")
    fd = pidfd.open(pid)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        monkeypatch.setattr(procfs, "state", lambda _: "X")
        assert pidfd.exit_status(fd, pid) == 3 << 8
    finally:
        os.close(fd)


@pytest.mark.usefixtures("no_info")
def test_without_info_only_a_zombie_tells(spawn: Spawn) -> None:
    pid = spawn("sh", "-c", "exit 3")
    fd = pidfd.open(pid)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert pidfd.exit_status(fd, pid) == 3 << 8
        os.waitpid(pid, 0)
        assert pidfd.exit_status(fd, pid) is None
    finally:
        os.close(fd)
