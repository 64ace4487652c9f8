"""Where a command writes a file: complete or not at all, and never over a device."""

import contextlib
import io
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from agentcg.errors import AgentcgError

_STDOUT = Path("-")


@contextlib.contextmanager
def saved(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to; "-" is stdout.

    What is a regular file, or is not there, appears by one rename when all is written, with the
    mode that it had; anything else, such as /dev/null or a FIFO, is written in place.

    Raises:
        AgentcgError: it cannot be written; what was there before is as it was.
    """
    try:
        with _opened(path) as file:
            yield file
    except BrokenPipeError:
        raise  # a reader that has enough goes without a word
    except OSError as error:
        what = "stdout" if path == _STDOUT else path
        raise AgentcgError(
            f"{what}: {error.strerror or error}; name another file with -o, or - for stdout"
        ) from error


def _opened(path: Path) -> AbstractContextManager[IO[bytes]]:
    if path == _STDOUT:
        return _stdout()
    return path.open("wb") if _is_special(path) else _replaced(path.resolve())


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
    if path.absolute().parts[1:2] in (("dev",), ("proc",)):
        return True
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            yield file
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
