"""What the memory governor is told of one cgroup: a call's, or that of a session's agent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """Bytes up to which it is never delayed, and that are kept free for it while it uses less."""

    free: int
    kept: int
    priority: int
