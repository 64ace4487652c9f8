"""Where a command writes a file: complete or not at all, and never over a device."""

import contextlib
import io
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from agentcg.errors import AgentcgError, BadValueError

STDOUT = Path("-")
_DESCRIPTORS = (Path("/dev/stdout"), Path("/dev/stderr"))


@contextlib.contextmanager
def saved(
    path: Path, *, mode: int = 0o600, named: bool = True, binary: bool = False
) -> Iterator[IO[bytes]]:
    """A file to write to; "-" is stdout.

    What is a regular file, or is not there, appears by one rename when all is on the disk: with
    the mode that it had, or with `mode`, less the umask, where it is new. Anything else, such as
    /dev/null or a FIFO, is written in place. A path that the user has not `named` is taken only
    where nothing is, or a regular file of their own. What is `binary` is not for a terminal.

    Raises:
        AgentcgError: it cannot be written; what was there before is as it was.
        BadValueError: it would go to a terminal.
    """
    what = "stdout" if path == STDOUT else path
    try:
        with _opened(path, mode, named=named) as file:
            if binary and file.isatty():
                raise BadValueError(f"{what}: a terminal cannot show it; name a file with -o")
            yield file
    except BrokenPipeError:
        raise  # a reader that has enough goes without a word
    except OSError as error:
        raise AgentcgError(
            f"{what}: cannot be written ({error.strerror or error}); "
            "free the disk, or name another file with -o"
        ) from error


def _opened(path: Path, mode: int, *, named: bool) -> AbstractContextManager[IO[bytes]]:
    if path == STDOUT:
        return _stdout()
    if not named:
        # Who may write to this directory knows the name, and may have put a link there.
        _must_be_own(path)
        return _replaced(path, mode)
    if _is_special(path):
        return path.open("wb")
    return _replaced(path.resolve(), mode)  # of a link its end is replaced


def _must_be_own(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        there = path.lstat()
        if not stat.S_ISREG(there.st_mode) or there.st_uid != os.geteuid():
            raise AgentcgError(f"{path}: is there, and no file of yours; name another with -o")


@contextlib.contextmanager
def _stdout() -> Iterator[IO[bytes]]:
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError:
        # Else what could not be written is tried once more at the exit, with a traceback.
        sys.stdout = io.TextIOWrapper(io.BytesIO())
        raise


def _is_special(path: Path) -> bool:
    # What stdout is may be a file, of which whoever opened it has the descriptor.
    if path.absolute().is_relative_to("/proc") or path.absolute().is_relative_to("/dev/fd"):
        return True
    if path.absolute() in _DESCRIPTORS:
        return True
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _replaced(path: Path, mode: int) -> Iterator[IO[bytes]]:
    # Who may read it is settled before there is anything to read.
    kept = path.lstat().st_mode & 0o777 if path.exists() else None
    beside = path.with_name(f".agentcg.{secrets.token_hex(8)}")
    try:
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(number, "wb") as file:
            if kept is not None:
                os.fchmod(number, kept)
            yield file
            file.flush()
            os.fsync(number)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
