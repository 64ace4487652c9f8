"""Files appear complete or not at all, and devices stay devices."""

import errno
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from agentcg.cli.saving import STDOUT, saved
from agentcg.errors import AgentcgError, BadValueError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_regular_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    file.chmod(0o646)  # as no umask has it
    link = tmp_path / "link"
    link.symlink_to(file)
    with saved(link, mode=0o600) as out:
        out.write(b"new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert mode(file) == 0o646
    assert link.is_symlink()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["f", "link"]


def test_a_new_file_has_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        for name, asked, given in (("a", 0o666, 0o640), ("b", 0o600, 0o600)):
            with saved(tmp_path / name, mode=asked) as out:
                out.write(b"x")
            assert mode(tmp_path / name) == given
    finally:
        os.umask(before)


def test_a_name_that_nobody_gave_follows_no_link(tmp_path: Path) -> None:
    secret, planted, own = (tmp_path / name for name in ("secret", "planted", "own"))
    secret.write_text("old")
    planted.symlink_to(secret)
    own.write_text("old")
    for path in (planted, tmp_path):
        with pytest.raises(AgentcgError, match="no file of yours"), saved(path, named=False):
            raise AssertionError
    with saved(own, named=False) as out:
        out.write(b"new")
        own.unlink()
        own.symlink_to(secret)  # meanwhile
    assert (secret.read_text(), own.read_text()) == ("old", "new")


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    with pytest.raises(AgentcgError, match="No space left"), saved(file) as out:
        out.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_disk_that_is_full_at_the_end_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "f"
    file.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AgentcgError, match=f"{file}.*No space left"), saved(file) as out:
        out.write(b"new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentcgError, match=r"nowhere.*No such file"), saved(tmp_path / "nowhere/f"):
        pass
    with pytest.raises(AgentcgError, match="Is a directory"), saved(tmp_path):
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
    with pytest.raises(AgentcgError, match=r"/dev/full: .*No space left"), saved(full) as out:
        out.write(b"x")


def test_a_fifo_is_written_in_place(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(fifo.read_bytes()))
    reader.start()
    with saved(fifo) as out:
        out.write(b"x")
    reader.join(30)
    assert found == [b"x"]
    assert fifo.is_fifo()


def test_a_dash_is_stdout(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with saved(STDOUT) as out:
        out.write(b"\xffx")
    assert capsysbinary.readouterr().out == b"\xffx"


def test_what_is_binary_is_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with (
        open(ours, "wb"),  # noqa: PTH123 - of descriptors
        open(theirs, "w") as terminal,  # noqa: PTH123
    ):
        monkeypatch.setattr(sys, "stdout", terminal)
        for path in (STDOUT, Path(os.ttyname(theirs))):
            with (
                pytest.raises(BadValueError, match="a terminal cannot show it"),
                saved(path, binary=True),
            ):
                raise AssertionError
        with saved(STDOUT) as out:
            assert out.isatty()
        monkeypatch.undo()
