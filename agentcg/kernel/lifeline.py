"""A file lock that tells others, without asking, whether its holder lives (fcntl_locking(2)).

The kernel takes a lock back with its process, however that ends; systemd may go on listening for
it. Others look with F_GETLK, which takes nothing.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the write lock on a file of this name until the end of the block.

    The file is new each time and locked before it has its name: whoever has opened an earlier one,
    which anybody may for reading, cannot hold this one up.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(fd, 0o644)
        new.rename(path)
        yield
    finally:
        new.unlink(missing_ok=True)
        os.close(fd)
