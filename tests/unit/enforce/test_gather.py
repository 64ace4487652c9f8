"""Gathering our own children from one directory of plain files into another."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agentcg.enforce import place
from agentcg.errors import ProcessGoneError
from agentcg.kernel import pidfd, procfs
from agentcg.kernel.cgroupfs import CgroupDir
from tests.unit.enforce.moves import Moves, procs

Make = Callable[..., CgroupDir]
Child = subprocess.Popen[bytes]


def test_only_what_is_in_the_agents_cgroup_is_gathered(make: Make, child: Child) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    start = procfs.start_time(child.pid)
    (leaf.path / "cgroup.procs").write_text("")
    (agent.path / "cgroup.procs").write_text("")
    with Moves(agent, leaf):
        assert not place.gather(leaf, agent, {child.pid: start})
        assert procs(leaf) == ""
        (agent.path / "cgroup.procs").write_text(f"{child.pid}\n{1 << 22}\n")
        assert not place.gather(leaf, agent, {child.pid: start, 1 << 22: 7})
    assert procs(leaf).split() == [str(child.pid)]


def test_one_whose_number_passed_on_is_not_gathered(make: Make, child: Child) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    (leaf.path / "cgroup.procs").write_text("")
    (agent.path / "cgroup.procs").write_text(f"{child.pid}\n")
    moved = Moves(agent, leaf)
    with moved:
        place.gather(leaf, agent, {child.pid: procfs.start_time(child.pid) + 1})
        assert moved.seen == []
        # Where its start was never told, being there is all that is known of it.
        place.gather(leaf, agent, {child.pid: 0})
    assert moved.seen == [("leaf", child.pid)]


def test_one_that_dies_while_it_is_gathered_leaves_no_stranger_there(
    make: Make, child: Child, dying: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    (leaf.path / "cgroup.procs").write_text("")
    (agent.path / "cgroup.procs").write_text(f"{child.pid}\n")
    monkeypatch.setattr(pidfd, "open", lambda *_: os.dup(dying))
    with Moves(agent, leaf):
        assert not place.gather(leaf, agent, {child.pid: 0})
    assert (procs(leaf), procs(agent).split()) == ("", [str(child.pid)])


@pytest.mark.parametrize(("bound", "value", "moved"), [("_AT_ONCE", 2, 2), ("_SECONDS", -1.0, 1)])
def test_what_the_leafs_own_have_started_is_gathered_and_so_much_at_once(
    make: Make, monkeypatch: pytest.MonkeyPatch, bound: str, value: float, moved: int
) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    command = ["sh", "-c", "sleep 60 & sleep 60 & sleep 60 & echo; wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        (leaf.path / "cgroup.procs").write_text(f"{parent.pid}\n")
        (agent.path / "cgroup.procs").write_text("\n".join(children))
        with Moves(agent, leaf):
            with monkeypatch.context() as bounded:
                bounded.setattr(place, bound, value)
                assert place.gather(leaf, agent, {})
            assert len(procs(leaf).split()) == 1 + moved
            assert not place.gather(leaf, agent, {})
        os.killpg(parent.pid, 9)
    assert {*procs(leaf).split()} == {str(parent.pid), *children}


def test_among_so_many_that_they_cannot_all_be_looked_at_it_stops_in_time(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    (leaf.path / "cgroup.procs").write_text("")
    (agent.path / "cgroup.procs").write_text("\n".join(map(str, range(10, 10_010))))
    clock = [7.0]
    looked: list[int] = []

    def start_time(pid: int) -> int:
        clock[0] += 0.001
        looked.append(pid)
        return 1

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr(procfs, "start_time", start_time)
    monkeypatch.setattr(procfs, "parent", lambda _: 1)
    # Nor is that done again and again, as nobody was moved.
    assert not place.gather(leaf, agent, {})
    assert 190 < len(looked) < 210
    assert looked[:2] == [10_009, 10_008]

    # One that cannot be moved, which is looked at first, does not have it done again either.
    def gone(pid: int, _start: int) -> int:
        raise ProcessGoneError(pid)

    monkeypatch.setattr(pidfd, "open", gone)
    looked.clear()
    assert not place.gather(leaf, agent, {10: 1})
    assert looked[:2] == [10, 10_009]
