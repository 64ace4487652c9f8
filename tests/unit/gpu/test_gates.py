"""Who waits at the gates of a leaf: killed, or let go on, by one look at who is there."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcg.gpu import gates
from agentcg.gpu.gates import Gate, Leaf
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.ids import LeaseId


def gate(number: int, pid: int) -> Gate:
    return Gate((LeaseId("g-1"),), pid, "x", 1, 5, 5, 0.0, number, number, killed=False)


@pytest.fixture
def processes() -> Iterator[list[int]]:
    those = [subprocess.Popen(["sleep", "1000"]) for _ in range(3)]
    yield [one.pid for one in those]
    for one in those:
        one.kill()
        one.wait(30)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[CgroupDir]:
    """At whom is there, as they are made."""
    made, look = [], gates._pids

    def looked(cgroup: CgroupDir) -> Iterator[int]:
        made.append(cgroup)
        return look(cgroup)

    monkeypatch.setattr(gates, "_pids", looked)
    return made


@pytest.fixture
def leaf(tmp_path: Path, processes: list[int]) -> Iterator[Leaf]:
    """A directory of plain files, which has the first two."""
    (tmp_path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in processes[:2]))
    (tmp_path / "cgroup.freeze").write_text("0\n")
    with CgroupDir.open(tmp_path) as cgroup:
        made = Leaf(cgroup)
        yield made
        made.cgroup.close()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_those_who_are_here_are_killed_by_one_look(
    leaf: Leaf, processes: list[int], looks: list[CgroupDir]
) -> None:
    those = [gate(number, pid) for number, pid in enumerate(processes)]
    for one in those:
        leaf.add(one)
    assert leaf.cgroup.read_int("cgroup.freeze") == 1
    assert leaf.deny(*those) == set(processes[:2])
    assert len(looks) == 1
    assert state(processes[2]) not in "TZ"  # whose number it is now
    assert leaf.gates == {}
    assert leaf.cgroup.read_int("cgroup.freeze") == 0


def test_those_who_wait_no_more_go_on_by_one_look(
    leaf: Leaf, processes: list[int], looks: list[CgroupDir]
) -> None:
    those = [gate(0, processes[0]), gate(1, processes[0]), gate(2, processes[1])]
    for one in those:
        leaf.add(one)
        os.kill(one.pid, signal.SIGSTOP)
    until(lambda: state(processes[0]) == state(processes[1]) == "T")
    leaf.passed(those[0], those[2])  # another thread of the first waits yet
    until(lambda: state(processes[1]) != "T")
    assert state(processes[0]) == "T"
    assert len(looks) == 1
    assert list(leaf.gates) == [1]


def test_where_nobody_waits_nobody_is_looked_for(leaf: Leaf, looks: list[CgroupDir]) -> None:
    leaf.prune()
    leaf.forget(1)
    assert looks == []
