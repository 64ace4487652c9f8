"""A cgroup of plain files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcg.kernel.cgroupfs import CgroupDir


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
