"""CgroupDir on a tree of plain files."""

import errno
import os
from pathlib import Path

import pytest

from agentcg.errors import (
    BadValueError,
    CgroupError,
    CgroupGoneError,
    KnobMissingError,
    ProcessGoneError,
)
from agentcg.kernel.cgroupfs import CgroupDir


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "a/b").mkdir(parents=True)
    files = {
        "cgroup.procs": "1\n22\n",
        "cgroup.controllers": "cpu memory pids\n",
        "cgroup.subtree_control": "cpu\n",
        "cgroup.events": "populated 1\nfrozen 0\n",
        "cgroup.freeze": "0\n",
        "cgroup.kill": "",
        "memory.max": "max\n",
        "memory.current": "8192\n",
        "memory.events": "low 0\noom_kill 2\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_reads(tree: Path) -> None:
    with CgroupDir.open(tree) as top:
        assert top.read_int("memory.max") is None
        assert top.read_int("memory.current") == 8192
        assert top.read_keyed("memory.events") == {"low": 0, "oom_kill": 2}
        assert top.pids() == [1, 22]
        assert top.populated()
        assert top.children() == ["a"]
        assert top.controllers() == {"cpu", "memory", "pids"}
        assert top.subtree_control() == {"cpu"}
        assert top.id == tree.stat().st_ino
        assert top.exists()


def test_writes(tree: Path) -> None:
    with CgroupDir.open(tree) as top:
        top.write("memory.max", 1 << 20)
        assert (tree / "memory.max").read_text() == "1048576"
        top.freeze(frozen=True)
        assert (tree / "cgroup.freeze").read_text() == "1"
        top.kill()
        assert (tree / "cgroup.kill").read_text() == "1"
        top.move(77)
        assert top.pids() == [77]


def test_missing_and_gone(tree: Path) -> None:
    with CgroupDir.open(tree) as top, top.child("a") as a:
        with pytest.raises(KnobMissingError) as caught:
            a.write("memory.high", 5)
        assert caught.value.path == str(tree / "a/memory.high")
        assert caught.value.value == "5"
        with a.open_path("b") as b, top.open_path("a/b") as same:
            assert b.id == same.id
            a.remove_child("b")
            assert not b.exists()
            with pytest.raises(CgroupGoneError):
                b.read("memory.max")
            with pytest.raises(CgroupGoneError):
                b.children()
        with pytest.raises(CgroupGoneError):
            a.child("b")
        with pytest.raises(CgroupGoneError):
            a.remove_child("b")


def test_make(tree: Path) -> None:
    with CgroupDir.open(tree) as top:
        with top.make("new") as new:
            assert new.path == tree / "new"
        top.make("new", exist_ok=True).close()
        with pytest.raises(CgroupError) as caught:
            top.make("new")
        assert caught.value.errno == errno.EEXIST


def test_opens_are_confined(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "memory.max").write_text("1")
    (tree / "link").symlink_to(outside)
    (tree / "a/knob").symlink_to(outside / "memory.max")
    with CgroupDir.open(tree) as top, top.child("a") as a:
        for attempt in (
            lambda: top.child("link"),
            lambda: top.open_path("link"),
            lambda: a.read("knob"),
        ):
            with pytest.raises(CgroupError) as caught:
                attempt()
            # O_PATH|O_DIRECTORY reports the link as no directory on the last component.
            assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR}
        with pytest.raises(CgroupError):
            a.write("knob", 2)
        for path in ("../a", "a/../..", "/a", "a//b", "a/"):
            with pytest.raises(BadValueError):
                top.open_path(path)
        with pytest.raises(BadValueError):
            top.read("../memory.max")
    assert (outside / "memory.max").read_text() == "1"


def test_open_path_empty_is_itself(tree: Path) -> None:
    with CgroupDir.open(tree) as top, top.open_path("") as same:
        assert same.id == top.id


@pytest.mark.parametrize("pid", [0, -1])
def test_move_refuses_what_is_no_pid(tree: Path, pid: int) -> None:
    with CgroupDir.open(tree) as top, pytest.raises(BadValueError):
        top.move(pid)


def test_move_of_the_dead(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CgroupDir.open(tree) as top:
        fail_writes(monkeypatch, errno.ESRCH)
        with pytest.raises(ProcessGoneError) as caught:
            top.move(4242)
    assert caught.value.pid == 4242


def test_a_file_whose_controller_goes_while_it_is_read_is_missing(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> bytes:
        raise OSError(errno.ENODEV, "No such device")

    with CgroupDir.open(tree) as top, monkeypatch.context() as patch:
        patch.setattr(os, "read", gone)
        with pytest.raises(KnobMissingError):
            top.read("memory.events")


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EINVAL, errno.ENOSPC, errno.ENODEV])
def test_write_errors_carry_path_value_errno(
    tree: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with CgroupDir.open(tree) as top:
        fail_writes(monkeypatch, code)
        with pytest.raises(CgroupError) as caught:
            top.write("memory.max", "12")
    error = caught.value
    # ENODEV with the cgroup still there is about a device, not a removal.
    assert type(error) is CgroupError
    assert (error.errno, error.value, error.path) == (code, "12", str(tree / "memory.max"))
    assert f"{tree}/memory.max: writing '12': {os.strerror(code)}" in error.message


def test_enable_goes_on_after_a_refusal(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write(self: CgroupDir, knob: str, value: str | int) -> None:
        written.append(f"{knob} {value}")
        if value == "+memory":
            raise CgroupError(self.path / knob, str(value), None, errno.EBUSY)

    monkeypatch.setattr(CgroupDir, "write", write)
    with CgroupDir.open(tree) as top:
        assert top.enable({"cpu", "memory", "pids", "io"}) == {"cpu", "pids"}
    assert written == ["cgroup.subtree_control +memory", "cgroup.subtree_control +pids"]


def test_closed_is_an_error_and_not_another_directory(tree: Path) -> None:
    top = CgroupDir.open(tree)
    top.close()
    top.close()
    with pytest.raises(CgroupGoneError):
        top.read("memory.max")


def test_open_nothing(tree: Path) -> None:
    with pytest.raises(CgroupGoneError):
        CgroupDir.open(tree / "nowhere")


def fail_writes(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def write(_fd: int, _data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", write)
