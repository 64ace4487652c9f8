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


@dataclass(frozen=True, slots=True)
class Usage:
    """What a cgroup used. `memory`, `peak` and `pids` are of now, the rest since it was made.

    - `memory`, `peak`: bytes, and the most since the reading before
    - `cpu`, `throttled`: seconds, used and held back by cpu.max
    - `reclaimed`: bytes that the kernel took back
    - `read`, `written`: bytes, of all block devices
    - `memory_some`, `memory_full`: seconds in which some, and all, of its tasks waited for memory
    - `cpu_some`, `io_some`: seconds in which some waited for a CPU, and for a device
    - `max_hits`, `oom_kills`: how often it hit its memory limit and lost a process to it

    Where only memory was read, all but the first two are None.
    """

    memory: int | None = None
    peak: int | None = None
    cpu: float | None = None
    throttled: float | None = None
    pids: int | None = None
    reclaimed: int | None = None
    read: int | None = None
    written: int | None = None
    memory_some: float | None = None
    memory_full: float | None = None
    cpu_some: float | None = None
    io_some: float | None = None
    max_hits: int | None = None
    oom_kills: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading in a trace.

    `at` is the time of day, Unix seconds; `clock` is in seconds since boot and orders samples
    whatever is done to the time of day (of samples from before that boot it is reckoned back by
    the time of day). `full`: everything was read, not memory alone.
    """

    at: float
    clock: float
    full: bool
    usage: Usage
