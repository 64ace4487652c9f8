"""A command's output to where it was asked for: whole or not at all, and only where files are."""

import os
import secrets
import stat
import sys
from pathlib import Path

from agentcg.errors import AgentcgError

STDOUT = "-"


def write(target: str, data: bytes) -> None:
    """Write `data` to `target`; "-" is stdout. A reader who has gone is no error to tell.

    A regular file is replaced by a rename; what else is there (a device, a pipe) is written to.

    Raises:
        AgentcgError: it cannot be; what was there before is as it was.
    """
    try:
        if target == STDOUT:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        elif (mode := _mode_of(target)) is None:
            Path(target).write_bytes(data)
        else:
            _replace(Path(os.path.realpath(target)), data, mode)
    except BrokenPipeError:
        raise
    except OSError as e:
        raise AgentcgError(
            f"{target}: cannot be written ({e.strerror}); free the disk or name another file (-o)"
        ) from e


def _mode_of(target: str) -> int | None:
    """The mode for a regular file, there or to be; None for anything else, and for /dev/stdout."""
    if Path(target).is_relative_to("/dev") or Path(target).is_relative_to("/proc"):
        return None
    try:
        mode = Path(target).stat().st_mode
    except FileNotFoundError:
        return 0o666
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) else None


def _replace(path: Path, data: bytes, mode: int) -> None:
    beside = path.with_name(f".agentcg-{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(beside, flags, mode)
    try:
        with open(fd, "wb") as file:  # noqa: PTH123 - of a descriptor
            file.write(data)
            file.flush()
            os.fsync(fd)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
