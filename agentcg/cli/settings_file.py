"""Edit a JSON settings file that is another program's: whole or not at all, and nobody else's.

Root may run this for a user who would like root to write elsewhere, so every step below the
folder that was named is opened without following links and must belong to that folder's owner.
"""

import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentcg.errors import ConflictError, DeniedError

Doc = dict[str, Any]
_BOUND = 1 << 20
_INDENT = re.compile(r"\n([ \t]+)\"")


@dataclass(frozen=True, slots=True)
class _Slot:
    """A file by its folder's descriptor; `owner` is whose the folder is that was named."""

    folder: int
    name: str
    path: Path
    owner: tuple[int, int]


def read(base: Path, name: str) -> Doc | None:
    """The settings in `base`/`name`; None if there is no such file.

    Raises:
        ConflictError: it is no JSON object that could be written back unharmed.
        DeniedError: a link or another's file is in the way.
    """
    try:
        with _slot(base, name, make=False) as slot:
            text, _ = _load(slot)
    except FileNotFoundError:
        return None
    return None if text is None else _parse(text, base / name)


def edit(base: Path, name: str, change: Callable[[Doc], Doc]) -> bool:
    """Change the settings in `base`/`name`, which is made if need be; False: nothing to change.

    Raises:
        ConflictError: as for `read`; or somebody else changed it meanwhile.
        DeniedError: as for `read`.
    """
    with _slot(base, name, make=True) as slot:
        text, before = _load(slot)
        old = {} if text is None else _parse(text, slot.path)
        new = change(old)
        if new == old:
            return False
        found = _INDENT.search(text or "")
        indent: str | int = 2 if found is None else found[1]
        try:
            text = json.dumps(new, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
            text.encode()
        except ValueError as e:
            raise ConflictError(f"{slot.path}: {e}: make the change by hand") from e
        _replace(slot, text, before)
    return True


@contextmanager
def _slot(base: Path, name: str, *, make: bool) -> Iterator[_Slot]:
    *parts, last = Path(name).parts
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(folder)
        owner = (status.st_uid, status.st_gid)
        for number, part in enumerate(parts, 1):
            here = base.joinpath(*parts[:number])
            if make:
                with suppress(FileExistsError), _acting_as(owner):
                    os.mkdir(part, 0o755, dir_fd=folder)
            inner = _open(_Slot(folder, part, here, owner), os.O_RDONLY | os.O_DIRECTORY)
            os.close(folder)
            folder = inner
            _check(os.fstat(folder), owner, here)
        yield _Slot(folder, last, base / name, owner)
    finally:
        os.close(folder)


@contextmanager
def _acting_as(owner: tuple[int, int]) -> Iterator[None]:
    """Root makes it as its owner: by the time of a chown the name could be another thing."""
    if os.geteuid() != 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner[1])
    os.seteuid(owner[0])
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def _open(slot: _Slot, flags: int) -> int:
    try:
        return os.open(slot.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=slot.folder)
    except FileNotFoundError:
        raise
    except OSError as e:
        raise DeniedError(
            f"{slot.path}: {e.strerror}; links are not followed: name what it leads to by --file"
        ) from e


def _check(status: os.stat_result, owner: tuple[int, int], path: Path) -> None:
    if status.st_uid not in (owner[0], os.geteuid()):
        raise DeniedError(
            f"{path}: belongs to uid {status.st_uid}, not to {owner[0]}: have its owner do it"
        )


def _load(slot: _Slot) -> tuple[str | None, os.stat_result | None]:
    try:
        # Not blocking: it could be a pipe.
        fd = _open(slot, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None, None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        _check(status, slot.owner, slot.path)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > _BOUND:
            raise DeniedError(
                f"{slot.path}: no plain file of its own of up to 1 MiB: edit it by hand"
            )
        try:
            return file.read().decode(), status
        except UnicodeDecodeError as e:
            raise ConflictError(f"{slot.path}: {e}; make it UTF-8") from e


def _parse(text: str, path: Path) -> Doc:
    def once(pairs: list[tuple[str, Any]]) -> Doc:
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ConflictError(f"{path}: a key is there twice; keep one")
        return made

    if not text.strip():
        return {}
    try:
        doc = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as e:
        raise ConflictError(
            f"{path}: no plain JSON ({e}); comments would be lost, so it is not touched: "
            f"make the change by hand"
        ) from e
    if not isinstance(doc, dict):
        raise ConflictError(f"{path}: no JSON object")
    return doc


def _replace(slot: _Slot, text: str, before: os.stat_result | None) -> None:
    """Write another file and give it the name, if nobody else did meanwhile."""
    fresh = f".{slot.name}.{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    fd = _open(_Slot(slot.folder, fresh, slot.path, slot.owner), flags)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            if os.geteuid() == 0:
                owner = slot.owner if before is None else (before.st_uid, before.st_gid)
                os.fchown(fd, *owner)
            os.fchmod(fd, 0o644 if before is None else stat.S_IMODE(before.st_mode))
            file.write(text)
            file.flush()
            os.fsync(fd)
        _unchanged(slot, before)
        os.rename(fresh, slot.name, src_dir_fd=slot.folder, dst_dir_fd=slot.folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=slot.folder)
        raise


def _unchanged(slot: _Slot, before: os.stat_result | None) -> None:
    now = None
    with suppress(FileNotFoundError):
        now = os.stat(slot.name, dir_fd=slot.folder, follow_symlinks=False)
    if (now and (now.st_ino, now.st_mtime_ns)) != (before and (before.st_ino, before.st_mtime_ns)):
        raise ConflictError(f"{slot.path}: somebody changed it just now: try again")
