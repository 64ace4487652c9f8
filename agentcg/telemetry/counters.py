"""Read a cgroup's counters (Documentation/admin-guide/cgroup-v2.rst, core and memory files).

Every figure is optional: a host without the controller has no file, and that is not an error.
"""

from agentcg.errors import BadValueError, CgroupError, CgroupGoneError, KnobMissingError
from agentcg.kernel import parse
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.metered import Totals
from agentcg.model.sample import Counters


def read(cgroup: CgroupDir) -> Counters:
    """Read all counters of one leaf; a leaf that is gone reads as all unknown."""
    try:
        cpu = _keyed(cgroup, "cpu.stat")
        memory = _keyed(cgroup, "memory.events.local")
        pids = _keyed(cgroup, "pids.events")
        return Counters(
            memory=integer(cgroup, "memory.current"),
            peak=integer(cgroup, "memory.peak"),
            cpu=_seconds(cpu, "usage_usec"),
            throttled=_seconds(cpu, "throttled_usec"),
            pids=integer(cgroup, "pids.current"),
            oom=memory.get("oom"),
            oom_kill=memory.get("oom_kill"),
            max_hits=memory.get("max"),
            pids_max_hits=pids.get("max"),
            pressure=full_pressure(cgroup),
        )
    except CgroupGoneError:
        return Counters()


def integer(cgroup: CgroupDir, knob: str) -> int | None:
    """Read a single number; None where the host lacks the file or it says "max"."""
    try:
        return cgroup.read_int(knob)
    except KnobMissingError:
        return None


def own_oom(cgroup: CgroupDir) -> int:
    """How often this cgroup's own memory limit led to an OOM; 0 where that is not counted."""
    return _keyed(cgroup, "memory.events.local").get("oom", 0)


def clean_cache(cgroup: CgroupDir) -> int:
    """Bytes of page cache that the kernel can drop at once: files, neither dirty nor in writing."""
    stat = _keyed(cgroup, "memory.stat")
    files = stat.get("active_file", 0) + stat.get("inactive_file", 0)
    return max(0, files - stat.get("file_dirty", 0) - stat.get("file_writeback", 0))


def cpu_seconds(cgroup: CgroupDir) -> float | None:
    """CPU time used by the cgroup, in seconds."""
    return _seconds(_keyed(cgroup, "cpu.stat"), "usage_usec")


def full_pressure(cgroup: CgroupDir) -> float | None:
    """Percent of the last 10 s in which every task waited for memory."""
    found = _pressure(cgroup)
    return None if found is None or found.full is None else found.full.avg10


def waited(cgroup: CgroupDir) -> float | None:
    """Seconds in which some task waited for memory, since the cgroup was made."""
    found = _pressure(cgroup)
    return None if found is None else found.some.total / 1e6


def totals(cgroup: CgroupDir) -> Totals:
    """What a cgroup and all below it used since it was made; 0: not counted on this host."""
    cpu = _keyed(cgroup, "cpu.stat")
    return Totals(
        _seconds(cpu, "usage_usec") or 0.0,
        _seconds(cpu, "throttled_usec") or 0.0,
        waited(cgroup) or 0.0,
        _keyed(cgroup, "memory.events").get("oom_kill", 0),
    )


def _pressure(cgroup: CgroupDir) -> parse.Pressure | None:
    try:
        return parse.pressure(cgroup.read("memory.pressure"))
    except CgroupGoneError:
        raise
    except (CgroupError, BadValueError):
        # Without PSI (psi=0, or cgroup.pressure 0) the file is missing or cannot be read.
        return None


def _keyed(cgroup: CgroupDir, knob: str) -> dict[str, int]:
    try:
        return cgroup.read_keyed(knob)
    except KnobMissingError:
        return {}


def _seconds(stat: dict[str, int], key: str) -> float | None:
    value = stat.get(key)
    return None if value is None else value / 1e6
