"""Files appear complete or not at all, and devices stay devices."""

import os
import stat
import threading
from pathlib import Path

import pytest

from agentcg.cli.saving import saved
from agentcg.errors import AgentcgError


def test_a_regular_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    with saved(link) as out:
        out.write(b"new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert link.is_symlink()


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    with pytest.raises(AgentcgError, match="No space left"), saved(file) as out:
        out.write(b"half")
        raise OSError(28, "No space left on device")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(AgentcgError, match="nowhere"), saved(tmp_path / "nowhere/f"):
        pass


def test_a_device_is_written_in_place() -> None:
    before = Path("/dev/null").stat()
    with saved(Path("/dev/null")) as out:
        out.write(b"x")
    after = Path("/dev/null").stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_rdev) == (after.st_ino, after.st_rdev)


def test_a_full_device_is_an_error_that_names_it() -> None:
    full = Path("/dev/full")
    with pytest.raises(AgentcgError, match="/dev/full: No space left"), saved(full) as out:
        out.write(b"x")


def test_a_fifo_is_written_in_place(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(fifo.read_bytes()))
    reader.start()
    with saved(fifo) as out:
        out.write(b"x")
    reader.join(10)
    assert found == [b"x"]
    assert fifo.is_fifo()
