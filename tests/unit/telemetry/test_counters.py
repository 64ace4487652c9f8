"""Counters of a cgroup, read from plain files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.sample import Counters
from agentcg.telemetry import counters

PSI = (
    "some avg10=12.50 avg60=0.00 avg300=0.00 total=9\n"
    "full avg10=7.25 avg60=0.00 avg300=0.00 total=5\n"
)


@pytest.fixture
def leaf(tmp_path: Path) -> Iterator[CgroupDir]:
    (tmp_path / "leaf").mkdir()
    with CgroupDir.open(tmp_path / "leaf") as cgroup:
        yield cgroup


def fill(leaf: CgroupDir, **files: str) -> None:
    for name, text in files.items():
        (leaf.path / name.replace("__", ".")).write_text(text)


def test_every_figure_is_read_from_its_file(leaf: CgroupDir) -> None:
    fill(
        leaf,
        memory__current="4096\n",
        memory__peak="8192\n",
        memory__events__local="low 0\nhigh 0\nmax 5\noom 2\noom_kill 3\noom_group_kill 1\n",
        memory__pressure=PSI,
        cpu__stat="usage_usec 2500000\nuser_usec 1\nthrottled_usec 250000\n",
        pids__current="4\n",
        pids__events="max 6\n",
    )
    assert counters.read(leaf) == Counters(
        memory=4096,
        peak=8192,
        cpu=2.5,
        throttled=0.25,
        pids=4,
        oom=2,
        oom_kill=3,
        max_hits=5,
        pids_max_hits=6,
        pressure=7.25,
    )


def test_what_happened_below_or_above_does_not_count_as_its_own(leaf: CgroupDir) -> None:
    fill(leaf, memory__events="max 9\noom 9\noom_kill 9\n")
    assert counters.read(leaf) == Counters()
    assert counters.own_oom(leaf) == 0


def test_a_host_without_the_controllers_has_no_figures(leaf: CgroupDir) -> None:
    assert counters.read(leaf) == Counters()
    assert counters.integer(leaf, "memory.max") is None
    assert counters.cpu_seconds(leaf) is None
    assert counters.full_pressure(leaf) is None


def test_cpu_stat_without_the_controller_has_no_throttled_time(leaf: CgroupDir) -> None:
    fill(leaf, cpu__stat="usage_usec 1000000\n")
    assert counters.read(leaf) == Counters(cpu=1.0)
    assert counters.cpu_seconds(leaf) == 1.0


def test_a_limit_of_max_is_no_number(leaf: CgroupDir) -> None:
    fill(leaf, memory__max="max\n")
    assert counters.integer(leaf, "memory.max") is None


def test_the_own_ooms_of_a_level(leaf: CgroupDir) -> None:
    fill(leaf, memory__events__local="oom 4\noom_kill 0\n")
    assert counters.own_oom(leaf) == 4


@pytest.mark.parametrize("text", ["", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", "off\n"])
def test_pressure_that_the_kernel_does_not_tell_is_unknown(leaf: CgroupDir, text: str) -> None:
    fill(leaf, memory__current="1\n", memory__pressure=text)
    assert counters.full_pressure(leaf) is None
    assert counters.read(leaf) == Counters(memory=1)


def test_a_pressure_file_that_cannot_be_read_is_unknown(leaf: CgroupDir) -> None:
    # As with PSI switched off, when reading fails with EOPNOTSUPP; a directory fails with EISDIR.
    (leaf.path / "memory.pressure").mkdir()
    with pytest.raises(CgroupError):
        leaf.read("memory.pressure")
    assert counters.full_pressure(leaf) is None


def test_a_leaf_that_is_gone_reads_as_all_unknown(leaf: CgroupDir) -> None:
    leaf.path.rmdir()
    assert counters.read(leaf) == Counters()
    with pytest.raises(CgroupGoneError):
        counters.own_oom(leaf)
    with pytest.raises(CgroupGoneError):
        counters.full_pressure(leaf)
