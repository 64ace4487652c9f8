"""Placing our own children into directories of plain files."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcg.enforce import place
from agentcg.errors import ConflictError, ProcessGoneError, UnsupportedError
from agentcg.kernel import pidfd, procfs
from agentcg.kernel.cgroupfs import CgroupDir

Make = Callable[..., CgroupDir]
Child = subprocess.Popen[bytes]


@pytest.fixture
def child() -> Iterator[Child]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.fixture
def dead() -> Iterator[int]:
    """The pidfd of a process that has exited."""
    with subprocess.Popen(["true"]) as process:
        fd = pidfd.open(process.pid)
    yield fd
    os.close(fd)


def procs(cgroup: CgroupDir) -> str:
    return (cgroup.path / "cgroup.procs").read_text()


def place_it(leaf: CgroupDir, child: Child, root: CgroupDir) -> None:
    fd = pidfd.open(child.pid)
    try:
        assert place.place(leaf, pid=child.pid, pidfd=fd, root=root) >= 0.0
    finally:
        os.close(fd)


def test_a_fresh_process_is_moved_and_made_the_first_to_go(make: Make, child: Child) -> None:
    root, leaf = make("root"), make("root/leaf", "cgroup.procs")
    place_it(leaf, child, root)
    assert procs(leaf) == str(child.pid)
    score = Path(f"/proc/{child.pid}/oom_score_adj").read_text()
    assert int(score) >= 500


def test_a_process_with_a_child_is_not_torn_apart(make: Make) -> None:
    root, leaf = make("root"), make("root/leaf", "cgroup.procs")
    command = ["sh", "-c", "sleep 60 & echo; wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        with pytest.raises(ConflictError, match="or has children: only a fresh process"):
            place_it(leaf, parent, root)
        os.killpg(parent.pid, 9)
    assert procs(leaf) == "old"


def test_a_process_with_threads_is_not_torn_apart(make: Make) -> None:
    root, leaf = make("root"), make("root/leaf", "cgroup.procs")
    program = (
        "import sys, threading; threading.Thread(target=sys.stdin.read).start(); print(flush=True)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as threaded:
        assert threaded.stdout is not None
        threaded.stdout.readline()
        with pytest.raises(ConflictError, match="has 2 threads"):
            place_it(leaf, threaded, root)
        threaded.kill()
    assert procs(leaf) == "old"


def test_a_process_that_is_gone_is_told_before_anything_is_written(make: Make, dead: int) -> None:
    root, leaf = make("root"), make("root/leaf", "cgroup.procs")
    with subprocess.Popen(["true"]) as process:
        pid = process.pid
    with pytest.raises(ProcessGoneError):
        place.place(leaf, pid=pid, pidfd=dead, root=root)
    assert procs(leaf) == "old"


def test_a_stranger_that_took_over_the_number_is_put_back_where_its_parent_is(
    make: Make, child: Child, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, leaf = make("root"), make("root/leaf", "cgroup.procs")
    home = make("root/a/home", "cgroup.procs")
    paths = {os.getpid(): "/a/home"}
    monkeypatch.setattr(procfs, "cgroup_path", lambda pid: paths[pid])
    with pytest.raises(ProcessGoneError):
        place.place(leaf, pid=child.pid, pidfd=dead, root=root)
    assert procs(home) == str(child.pid)


@pytest.mark.parametrize("path", ["/../outside", "/gone", None])
def test_a_stranger_with_nowhere_to_go_still_ends_in_a_refusal(
    make: Make, child: Child, dead: int, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    def cgroup_path(pid: int) -> str:
        if path is None:
            raise UnsupportedError(f"process {pid} has no cgroup v2 line")
        return path

    root, leaf = make("root"), make("root/leaf", "cgroup.procs")
    monkeypatch.setattr(procfs, "cgroup_path", cgroup_path)
    with pytest.raises(ProcessGoneError):
        place.place(leaf, pid=child.pid, pidfd=dead, root=root)
