"""Placing our own children into directories of plain files."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentcg.enforce import place
from agentcg.errors import ConflictError, ProcessGoneError, UnavailableError
from agentcg.kernel import pidfd, procfs, sched
from agentcg.kernel.cgroupfs import CgroupDir
from tests.unit.enforce.moves import Moves, procs

Make = Callable[..., CgroupDir]
Child = subprocess.Popen[bytes]


def place_it(leaf: CgroupDir, child: Child, agent: CgroupDir) -> None:
    fd = pidfd.open(child.pid)
    try:
        assert place.place(leaf, agent, pid=child.pid, pidfd=fd) >= 0.0
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
        place.place(leaf, root, pid=pid, pidfd=dead)
    assert procs(leaf) == "old"


@pytest.mark.parametrize("enter", [place.place, place.take])
def test_a_stranger_that_took_over_the_number_goes_to_the_agent_not_to_its_parent(
    make: Make, child: Child, dying: int, enter: Callable[..., float]
) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    (agent.path / "cgroup.procs").write_text(f"{child.pid}\n")
    (leaf.path / "cgroup.procs").write_text("")
    moved = Moves(agent, leaf)
    with moved, pytest.raises(ProcessGoneError):
        enter(leaf, agent, pid=child.pid, pidfd=dying)
    assert moved.seen == [("leaf", child.pid), ("agent", child.pid)]
    assert procs(leaf) == ""


def test_nobody_else_leaves_a_call_when_one_dies_that_joins_it(
    make: Make, child: Child, dying: int
) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    moved = Moves(agent, leaf)
    with subprocess.Popen(["sleep", "60"]) as member:
        (leaf.path / "cgroup.procs").write_text(f"{member.pid}\n")
        with moved, pytest.raises(ProcessGoneError):
            place.place(leaf, agent, pid=child.pid, pidfd=dying, joins=True)
        member.kill()
    assert moved.seen == [("leaf", child.pid), ("agent", child.pid)]
    assert procs(leaf).split() == [str(member.pid)]


@pytest.mark.parametrize("joins", [False, True])
def test_a_stranger_one_of_whose_threads_has_the_number_goes_to_the_agent(
    make: Make, child: Child, dying: int, monkeypatch: pytest.MonkeyPatch, *, joins: bool
) -> None:
    """The kernel then moves the whole process, and lists that."""
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    (leaf.path / "cgroup.procs").write_text("")
    moved = Moves(agent, leaf)
    moved.threads = {child.pid: os.getpid()}
    monkeypatch.setattr(procfs, "process_of", lambda number: moved.threads[number])
    with moved, pytest.raises(ProcessGoneError):
        place.place(leaf, agent, pid=child.pid, pidfd=dying, joins=joins)
    assert moved.seen == [("leaf", child.pid), ("agent", os.getpid())]
    assert procs(leaf) == ""


def test_a_peer_that_dies_in_its_leaf_has_been_there(
    make: Make, child: Child, dying: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    monkeypatch.setattr(CgroupDir, "pids", lambda _: [])
    assert place.place(leaf, agent, pid=child.pid, pidfd=dying) >= 0.0


def test_what_a_stranger_forked_meanwhile_goes_with_it_and_the_others_stay(
    make: Make, dying: int
) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    command = ["sh", "-c", "sleep 60 & echo $!; wait"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as stranger,
        subprocess.Popen(["sleep", "60"]) as other,
    ):
        assert stranger.stdout is not None
        forked = int(stranger.stdout.readline())
        (agent.path / "cgroup.procs").write_text(f"{stranger.pid}\n")
        (leaf.path / "cgroup.procs").write_text(f"{other.pid}\n{forked}\n")
        with Moves(agent, leaf), pytest.raises(ProcessGoneError):
            place.take(leaf, agent, pid=stranger.pid, pidfd=dying)
        os.killpg(stranger.pid, 9)
        other.kill()
    assert procs(leaf).split() == [str(other.pid)]
    assert {*procs(agent).split()} == {str(stranger.pid), str(forked)}


def test_a_leaf_is_left_empty_however_its_processes_fork(make: Make) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs", "cgroup.freeze")
    (agent.path / "cgroup.procs").write_text("")
    (leaf.path / "cgroup.procs").write_text("11\n")
    moved = Moves(agent, leaf)
    moved.forks = {11: 12, 12: 13}  # one each while it is moved
    with moved:
        assert place.vacate(leaf, agent)
    assert procs(agent).split() == ["11", "12", "13"]
    assert (leaf.path / "cgroup.freeze").read_text() == "0"
    moved.forks = {n: n + 1 for n in range(20, 90)}
    (leaf.path / "cgroup.procs").write_text("20\n")
    with moved:
        assert not place.vacate(leaf, agent)


def test_all_that_is_in_a_leaf_and_below_is_handed_over(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf, below = make("leaf", "cgroup.threads"), make("leaf/below", "cgroup.threads")
    leaf.write("cgroup.threads", "5 7")
    below.write("cgroup.threads", "9")
    asked: list[int] = []

    def extend(tid: int) -> bool:
        if tid not in asked:
            leaf.write("cgroup.threads", "5 7 8")  # a child, made while its parent was looked at
        asked.append(tid)
        return asked.count(tid) == 1

    monkeypatch.setattr(sched, "extend", extend)
    place.hand_over(leaf)
    assert set(asked) == {5, 7, 8, 9}
    # Until nobody was new.
    assert asked[-4:] == [7, 8, 9, 9]


def test_what_runs_already_is_taken_from_the_agent_alone(make: Make, child: Child) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    fd = pidfd.open(child.pid)
    try:
        (agent.path / "cgroup.procs").write_text("")
        with pytest.raises(ConflictError, match="agent any more"):
            place.take(leaf, agent, pid=child.pid, pidfd=fd)
        assert procs(leaf) == "old"
        (agent.path / "cgroup.procs").write_text(f"{child.pid}\n")
        assert place.take(leaf, agent, pid=child.pid, pidfd=fd) >= 0.0
    finally:
        os.close(fd)
    assert procs(leaf) == str(child.pid)


@pytest.mark.parametrize("enter", [place.place, place.take])
@pytest.mark.parametrize(("numbers", "margin"), [(1 << 22, 1 << 19), (32768, 16384), (400, 200)])
def test_one_that_is_dead_or_whose_number_is_next_is_not_moved(
    make: Make,
    child: Child,
    dead: int,
    monkeypatch: pytest.MonkeyPatch,
    enter: Callable[..., float],
    numbers: int,
    margin: int,
) -> None:
    agent, leaf = make("agent", "cgroup.procs"), make("leaf", "cgroup.procs")
    (agent.path / "cgroup.procs").write_text(f"{child.pid}\n")
    with pytest.raises(ProcessGoneError):
        enter(leaf, agent, pid=child.pid, pidfd=dead)
    until = [margin - 1]
    monkeypatch.setattr(procfs, "numbers_until", lambda _: until[0])
    monkeypatch.setattr(procfs, "pid_max", lambda: numbers)
    fd = pidfd.open(child.pid)
    try:
        with pytest.raises(UnavailableError, match="about to be given again"):
            enter(leaf, agent, pid=child.pid, pidfd=fd)
        assert procs(leaf) == "old"
        until[0] = margin
        enter(leaf, agent, pid=child.pid, pidfd=fd)
    finally:
        os.close(fd)
    assert procs(leaf) == str(child.pid)
