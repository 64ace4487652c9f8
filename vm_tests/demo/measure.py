"""What the kernel counted for a session; None where the host does not count it."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reading:
    """Since the session began.

    Seconds of CPU, and those in which one of its tasks waited for one; the most memory that it
    held, and how much the kernel took back, in bytes.
    """

    cpu: float | None
    waited: float | None
    peak: int | None
    reclaimed: int | None


def session(cgroup: Path) -> Reading:
    """Read a session's cgroup."""
    cpu = _keyed(cgroup / "cpu.stat").get("usage_usec")
    waited = _keyed(cgroup / "cpu.pressure").get("some")
    stolen = _keyed(cgroup / "memory.stat").get("pgsteal")
    return Reading(
        cpu=None if cpu is None else cpu / 1e6,
        waited=None if waited is None else waited / 1e6,
        peak=number(cgroup / "memory.peak"),
        reclaimed=None if stolen is None else stolen * os.sysconf("SC_PAGE_SIZE"),
    )


def number(path: Path) -> int | None:
    """Read a file of one number; None for "max" too."""
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _keyed(path: Path) -> dict[str, int]:
    """Read lines of a name and a number, which is the last word: PSI's `total=` too."""
    lines = [line.split() for line in _text(path).splitlines()]
    return {words[0]: int(words[-1].removeprefix("total=")) for words in lines}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
