"""What memory.min has to be on every level above the calls for their guarantees to count.

The kernel honours a guarantee only up to what each ancestor is guaranteed itself, so every level
from a session's calls up to the pool gets the sum of what is promised below it.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath


def within(cgroup: str, pool: str) -> bool:
    """Whether a session's cgroup is below the pool; only there are its ancestors ours to write."""
    return PurePosixPath(cgroup).is_relative_to(pool) and cgroup != pool


def levels(cgroup: str, pool: str, calls: str) -> tuple[str, ...]:
    """The cgroups above a session's leaves, from the pool down to the one named `calls`."""
    if not within(cgroup, pool):
        return ()
    path = PurePosixPath(cgroup)
    between = [p for p in reversed(path.parents) if p.is_relative_to(pool)]
    return tuple(str(p) for p in (*between, path, path / calls))


def sums(sessions: Iterable[tuple[str, int]], pool: str, calls: str) -> Mapping[str, int]:
    """From (session cgroup, bytes guaranteed to its calls) to bytes per level; no zeros."""
    wanted: dict[str, int] = {}
    for cgroup, amount in sessions:
        if amount:
            for level in levels(cgroup, pool, calls):
                wanted[level] = wanted.get(level, 0) + amount
    return wanted
