"""Where a command's output goes: whole, or not at all."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from agentcg.cli import files
from agentcg.errors import AgentcgError


def test_a_file_is_replaced_as_a_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "x"
    files.write(str(target), b"one")
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    files.write(str(link), b"two")
    assert target.read_bytes() == b"two"
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "x"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "x"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AgentcgError, match=f"{target}.*No space left"):
        files.write(str(target), b"new")
    assert target.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    files.write(str(pipe), b"told")
    reader.join(10)
    assert read == [b"told"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    files.write("/dev/null", b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentcgError, match="No such file"):
        files.write(str(tmp_path / "none" / "x"), b"")
    with pytest.raises(AgentcgError, match="Is a directory"):
        files.write(str(tmp_path), b"")
