"""A cgroup of plain files, and processes to be placed there."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcg.kernel import pidfd
from agentcg.kernel.cgroupfs import CgroupDir

Child = subprocess.Popen[bytes]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., CgroupDir]]:
    """Make a directory below tmp_path with the knobs named, each holding "old"."""
    made: list[CgroupDir] = []

    def _make(name: str, *knobs: str) -> CgroupDir:
        path = tmp_path / name
        path.mkdir(parents=True)
        for knob in knobs:
            (path / knob).write_text("old")
        made.append(CgroupDir.open(path))
        return made[-1]

    yield _make
    for cgroup in made:
        cgroup.close()


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


@pytest.fixture
def dying(dead: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """That of one which lives when it is looked at first, and is dead after its move."""
    looks = iter((True, False))
    monkeypatch.setattr(pidfd, "alive", lambda _: next(looks))
    return dead
