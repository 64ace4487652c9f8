"""Readings of one cgroup at one moment. None means that the host does not offer the figure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of one leaf; bytes, seconds and counts since the cgroup was made."""

    memory: int | None = None
    peak: int | None = None
    cpu: float | None = None
    throttled: float | None = None
    pids: int | None = None
    oom: int | None = None
    oom_kill: int | None = None
    max_hits: int | None = None
    pids_max_hits: int | None = None
    pressure: float | None = None
