"""Killing and removing cgroups."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentcg.enforce import remove
from agentcg.errors import CgroupError, KnobMissingError
from agentcg.kernel.cgroupfs import CgroupDir

Make = Callable[..., CgroupDir]


def test_kill_is_one_write(make: Make) -> None:
    leaf = make("leaf", "cgroup.kill")
    remove.kill(leaf)
    assert (leaf.path / "cgroup.kill").read_text() == "1"


def test_a_cgroup_that_is_gone_counts_as_killed(make: Make) -> None:
    leaf = make("leaf")
    leaf.path.rmdir()
    remove.kill(leaf)


def test_a_kernel_without_cgroup_kill_is_not_passed_over(make: Make) -> None:
    with pytest.raises(KnobMissingError):
        remove.kill(make("leaf"))


def test_a_child_goes_with_all_that_is_nested_in_it(make: Make, tmp_path: Path) -> None:
    top = make("top")
    (tmp_path / "top/leaf/a/b").mkdir(parents=True)
    (tmp_path / "top/leaf/c").mkdir()
    assert remove.remove(top, "leaf")
    assert top.children() == []


def test_a_child_that_is_not_there_counts_as_removed(make: Make) -> None:
    assert remove.remove(make("top"), "leaf")


def test_a_child_in_which_something_lives_stays_and_so_does_its_parent(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = make("top")
    (tmp_path / "top/leaf/a").mkdir(parents=True)
    (tmp_path / "top/leaf/busy").mkdir()
    really = CgroupDir.remove_child

    def remove_child(parent: CgroupDir, name: str) -> None:
        if name == "busy":
            raise CgroupError(parent.path / name, None, None, errno.EBUSY)
        really(parent, name)

    monkeypatch.setattr(CgroupDir, "remove_child", remove_child)
    assert not remove.remove(top, "leaf")
    assert (tmp_path / "top/leaf/busy").is_dir()
    assert not (tmp_path / "top/leaf/a").exists()


def test_any_other_refusal_is_an_error(make: Make, tmp_path: Path) -> None:
    top = make("top")
    make("top/leaf", "a.file")
    with pytest.raises(CgroupError) as caught:
        remove.remove(top, "leaf")
    assert caught.value.errno == errno.ENOTEMPTY
    assert (tmp_path / "top/leaf").is_dir()


def test_an_end_waits_for_the_killed_and_then_removes(make: Make) -> None:
    top, leaf = make("top"), make("top/leaf", "cgroup.kill", "cgroup.events")
    leaf.write("cgroup.events", "populated 0\n")
    begun = time.monotonic()
    # A plain directory with files in it does not go: only that nobody is waited for is shown here.
    with pytest.raises(CgroupError):
        remove.end(top, "leaf", 30.0)
    assert time.monotonic() - begun < 20
    assert (leaf.path / "cgroup.kill").read_text() == "1"


def test_an_end_is_bounded_where_a_process_does_not_go(make: Make) -> None:
    top, leaf = make("top"), make("top/leaf", "cgroup.kill", "cgroup.events")
    leaf.write("cgroup.events", "populated 1\n")
    with pytest.raises(CgroupError):
        remove.end(top, "leaf", 0.05)


def test_an_end_of_what_is_gone_is_done(make: Make) -> None:
    assert remove.end(make("top"), "leaf", 1.0)
