"""Where a file is written: beside its place first, so that what was there stays until it is whole.

A device, a FIFO and what is below /dev and /proc are written in place, "-" is stdout.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from agentcg.errors import AgentcgError, BadValueError

_IN_PLACE = ("/dev/", "/proc/")


@contextlib.contextmanager
def written(name: str) -> Iterator[BinaryIO]:
    """A file to write to; it is at its place when the block ends well.

    Raises:
        AgentcgError: the disk; what was there is kept.
        BadValueError: it would go to a terminal.
    """
    if name == "-" and sys.stdout.isatty():
        raise BadValueError("-: a terminal cannot show it; name a file, or pipe it on")
    try:
        with contextlib.ExitStack() as stack:
            yield stack.enter_context(_opened(name))
    except BrokenPipeError:
        # Who reads it has enough; the interpreter must not find the pipe again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        why = error.strerror or str(error)
        raise AgentcgError(
            f"{name}: cannot be written ({why}); free the disk, or name another file with -o"
        ) from error


@contextlib.contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    path = Path(name)
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if name.startswith(_IN_PLACE) or (path.exists() and not path.is_file()):
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()  # of a link, its end is replaced
    number, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(number)
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
