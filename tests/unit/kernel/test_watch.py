"""inotify on plain files."""

import asyncio
import errno
from pathlib import Path

import pytest

from agentcg.errors import CgroupError, KnobMissingError
from agentcg.kernel import watch as watching
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.watch import Watch


async def test_add_change_remove(tmp_path: Path) -> None:
    knob = tmp_path / "memory.events"
    knob.write_text("oom 0\n")
    heard: list[int] = []
    with CgroupDir.open(tmp_path) as cgroup, Watch() as watch:
        watch.add(cgroup, "memory.events", lambda: heard.append(1))
        knob.write_text("oom 1\n")
        await asyncio.sleep(0.05)
        assert heard == [1]
        watch.add(cgroup, "memory.events", lambda: heard.append(2))
        knob.write_text("oom 2\n")
        await asyncio.sleep(0.05)
        assert heard == [1, 2]
        watch.remove(cgroup)
        watch.remove(cgroup)
        knob.write_text("oom 3\n")
        await asyncio.sleep(0.05)
        assert heard == [1, 2]
        watch.add(cgroup, "memory.events", lambda: heard.append(3))
        knob.unlink()
        await asyncio.sleep(0.05)
        watch.remove(cgroup)
        with pytest.raises(KnobMissingError):
            watch.add(cgroup, "memory.events", lambda: None)
        watch.close()
    assert heard == [1, 2]


async def test_without_an_instance_left_the_error_names_the_sysctl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.events").write_text("")

    def full(**_: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    with CgroupDir.open(tmp_path) as cgroup, Watch() as watch:
        with monkeypatch.context() as patch:
            patch.setattr(watching, "Inotify", full)
            with pytest.raises(CgroupError, match="max_user_instances"):
                watch.add(cgroup, "memory.events", lambda: None)
            watch.remove(cgroup)
        heard: list[int] = []
        watch.add(cgroup, "memory.events", lambda: heard.append(1))
        (tmp_path / "memory.events").write_text("oom 1")
        await asyncio.sleep(0.05)
        assert heard


async def test_a_callback_may_remove_another(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("")
    heard: list[str] = []
    with CgroupDir.open(tmp_path) as cgroup, Watch() as watch:

        def hear(name: str) -> None:
            heard.append(name)
            watch.remove(cgroup)

        watch.add(cgroup, "a", lambda: hear("a"))
        watch.add(cgroup, "b", lambda: hear("b"))
        for name in "ab":
            (tmp_path / name).write_text("x")
        await asyncio.sleep(0.05)
    assert heard == ["a"]
