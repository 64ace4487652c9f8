"""CgroupDir on a real cgroup2."""

import asyncio
import errno
import os
import time
from collections.abc import Callable

import pytest

from agentcg.errors import (
    BadValueError,
    CgroupError,
    CgroupGoneError,
    KnobMissingError,
    ProcessGoneError,
)
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.watch import Watch

pytestmark = pytest.mark.root
Spawn = Callable[..., int]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def test_move_populates_and_leaves(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    pid = spawn()
    with cgroup_root.make("a") as a, cgroup_root.make("b") as b:
        assert not a.populated()
        a.move(pid)
        assert a.pids() == [pid]
        assert a.populated()
        assert cgroup_root.populated()
        b.move(pid)
        assert (a.pids(), b.pids()) == ([], [pid])
    assert cgroup_root.children() == ["a", "b"]


def test_move_of_a_dead_pid(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    pid = spawn("true")
    os.waitpid(pid, 0)
    with pytest.raises(ProcessGoneError) as caught:
        cgroup_root.move(pid)
    assert str(pid) in caught.value.message


def test_move_of_a_zombie_is_no_error(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    pid = spawn("true")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    cgroup_root.move(pid)
    assert not cgroup_root.populated()


def test_kill_ends_the_tree_even_frozen(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    with cgroup_root.make("a") as a, a.make("deep") as deep:
        pids = [spawn(), spawn()]
        a.move(pids[0])
        deep.move(pids[1])
        a.freeze()
        until(lambda: a.read_keyed("cgroup.events")["frozen"] == 1)
        a.kill()
        until(lambda: not a.populated())
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9


def test_freeze_and_thaw(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    cgroup_root.move(spawn())
    cgroup_root.freeze(frozen=True)
    until(lambda: cgroup_root.read_keyed("cgroup.events")["frozen"] == 1)
    cgroup_root.freeze(frozen=False)
    until(lambda: cgroup_root.read_keyed("cgroup.events")["frozen"] == 0)


def test_rmdir_of_a_busy_one(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    with cgroup_root.make("a") as a:
        a.move(spawn())
        with pytest.raises(CgroupError) as caught:
            cgroup_root.remove_child("a")
        assert caught.value.errno == errno.EBUSY
        a.kill()
        until(lambda: not a.populated())
    cgroup_root.remove_child("a")
    assert cgroup_root.children() == []


def test_gone_is_told_from_missing_and_from_its_namesake(cgroup_root: CgroupDir) -> None:
    with cgroup_root.make("a") as old:
        with pytest.raises(KnobMissingError):
            old.read("no.such")
        opened = old.fd_of("cgroup.freeze", os.O_RDONLY)
        cgroup_root.remove_child("a")
        assert not old.exists()
        with cgroup_root.make("a") as new:
            assert new.id != old.id
            assert new.exists()
            assert not old.exists()
            for act in (
                lambda: old.read("cgroup.procs"),
                lambda: old.write("cgroup.freeze", 1),
                lambda: old.move(os.getpid()),
                old.kill,
                old.children,
                lambda: old.make("x"),
                lambda: old.child("x"),
            ):
                with pytest.raises(CgroupGoneError):
                    act()
        with pytest.raises(OSError, match="No such device"):
            os.read(opened, 10)
        os.close(opened)


def test_refused_value_names_path_and_value(cgroup_root: CgroupDir) -> None:
    with pytest.raises(CgroupError) as caught:
        cgroup_root.write("cgroup.max.depth", "many")
    error = caught.value
    assert (error.errno, error.value) == (errno.EINVAL, "many")
    assert error.path == str(cgroup_root.path / "cgroup.max.depth")
    assert "'many'" in error.message


def test_too_many_children(cgroup_root: CgroupDir) -> None:
    cgroup_root.write("cgroup.max.descendants", 1)
    assert cgroup_root.read_int("cgroup.max.descendants") == 1
    cgroup_root.make("a").close()
    with pytest.raises(CgroupError) as caught:
        cgroup_root.make("b")
    assert caught.value.errno == errno.EAGAIN


def test_max_is_none(cgroup_root: CgroupDir) -> None:
    assert cgroup_root.read_int("cgroup.max.depth") is None


def test_make_twice(cgroup_root: CgroupDir) -> None:
    with cgroup_root.make("a") as first, cgroup_root.make("a", exist_ok=True) as again:
        assert first.id == again.id
    with pytest.raises(CgroupError) as caught:
        cgroup_root.make("a")
    assert caught.value.errno == errno.EEXIST


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256])
def test_names_are_one_component(cgroup_root: CgroupDir, name: str) -> None:
    with pytest.raises(BadValueError):
        cgroup_root.child(name)
    with pytest.raises(BadValueError):
        cgroup_root.make(name)


def test_enable_skips_what_is_not_there(cgroup_root: CgroupDir) -> None:
    available = cgroup_root.controllers()
    assert cgroup_root.enable({"nonsense"}) == frozenset()
    assert cgroup_root.enable(available | {"nonsense"}) == available
    with pytest.raises(CgroupError) as caught:
        cgroup_root.enable_one("nonsense")
    assert not isinstance(caught.value, CgroupGoneError)


async def test_populated_by_inotify(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    changed = asyncio.Event()
    with cgroup_root.make("a") as a, Watch() as watch:
        watch.add(a, "cgroup.events", changed.set)
        a.move(spawn())
        async with asyncio.timeout(30):
            await changed.wait()
        assert a.populated()
        changed.clear()
        a.kill()
        async with asyncio.timeout(30):
            await changed.wait()
        assert not a.populated()


async def test_watch_survives_removal(cgroup_root: CgroupDir, spawn: Spawn) -> None:
    heard: list[str] = []
    with Watch() as watch:
        a = cgroup_root.make("a")
        watch.add(a, "cgroup.events", lambda: heard.append("old"))
        cgroup_root.remove_child("a")
        with cgroup_root.make("a") as new:
            watch.add(new, "cgroup.events", lambda: heard.append("new"))
            new.move(spawn())
            async with asyncio.timeout(30):
                while "new" not in heard:
                    await asyncio.sleep(0.01)
            watch.remove(a)
            with pytest.raises(CgroupGoneError):
                watch.add(a, "cgroup.events", lambda: None)
            a.close()
            watch.remove(new, "cgroup.events")
            new.kill()
            until(lambda: not new.populated())
            await asyncio.sleep(0.05)
    assert set(heard) == {"new"}


async def test_watch_of_a_missing_knob(cgroup_root: CgroupDir) -> None:
    with Watch() as watch, pytest.raises(KnobMissingError):
        watch.add(cgroup_root, "no.such", lambda: None)
