"""The store's files: 2026-11-21.sqlite a day, 2026-11-21.1.sqlite where one would get too large."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# A damaged file is kept under the second ending until its time has come as well.
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.(\d{1,6}))?\.(sqlite|corrupt)")
# Of what all may take: so the oldest can go before the newest is full.
PARTS = 8


@dataclass(frozen=True, slots=True, order=True)
class Kept:
    """One file with its log; `size` is of both."""

    day: str
    part: int
    path: Path
    size: int

    @property
    def whole(self) -> bool:
        """Whether it can be read."""
        return self.path.suffix == ".sqlite"


def kept(folder: Path) -> list[Kept]:
    """All files, oldest first."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        name = _NAME.fullmatch(path.name)
        if name is not None:
            found.append(Kept(name[1], int(name[2] or 0), path, _size(path)))
    return sorted(found)


def day_of(at: float) -> str:
    """The day of a time, in UTC: where days are 23 or 25 hours long they have no names."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).date().isoformat()


def current(files: Sequence[Kept], folder: Path, day: str, *, size: int) -> Path:
    """Where to write on that day: its last part, or a new one where that is full or damaged."""
    parts = [one for one in files if one.day == day]
    if not parts:
        return folder / f"{day}.sqlite"
    last = parts[-1]
    return last.path if last.whole and last.size <= size // PARTS else after(last.path)


def after(path: Path) -> Path:
    """The name of the part behind this one."""
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise ValueError(f"{path}: no file of traces has such a name")
    return path.with_name(f"{name[1]}.{int(name[2] or 0) + 1}.sqlite")


def doomed(
    files: Sequence[Kept], now: float | None, *, days: int, size: int, keep: Path | None
) -> list[Kept]:
    """What is to be deleted: the oldest beyond `size`, and what is older than `days`.

    `now` is None where the time of day cannot be trusted; `keep` is being written.
    """
    left = sum(one.size for one in files)
    oldest = None if now is None else day_of(now - days * 86400)
    gone = []
    for one in files:
        if one.path == keep:
            continue
        if left > size or (oldest is not None and one.day < oldest):
            gone.append(one)
            left -= one.size
    return gone


def parts_of(path: Path) -> list[Path]:
    """A file with its log and the log's index."""
    return [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm")]


def put_aside(path: Path) -> Path:
    """Move a damaged file away with its log: an old log must not be applied to a new file."""
    aside = path.with_suffix(".corrupt")
    for part, to in zip(parts_of(path), parts_of(aside), strict=True):
        if part.exists():
            part.replace(to)
    return aside


def _size(path: Path) -> int:
    total = 0
    for part in parts_of(path):
        try:
            total += part.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total
