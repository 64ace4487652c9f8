"""One cgroup's files held open and read again and again: what its trace is made of.

Documentation/admin-guide/cgroup-v2.rst. A brief reading is two reads, memory.current and
memory.peak, and a write where the two differ; none makes the kernel add up per-CPU figures, as
cpu.stat and memory.stat do. So a brief reading costs the same on any host, and the rest is read
once a second at most.
"""

import os
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter

from agentcg.errors import CgroupError, CgroupGoneError, KnobMissingError
from agentcg.kernel import parse
from agentcg.kernel.cgroup_file import CgroupFile
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.sample import Sample, Usage
from agentcg.telemetry import counters

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TOTAL = re.compile(r"total=(\d+)")
# While none of these changes, no task ran, was held back or waited, so nothing else changed either.
_TELLING = attrgetter(
    "memory", "cpu", "throttled", "memory_some", "memory_full", "cpu_some", "io_some"
)


class Gauge:
    """Reads one cgroup; blocks briefly. Threads may share it.

    A burst between two readings is in the second one's `peak`: memory.peak, written to, starts
    anew for the reader through that descriptor (Linux 6.12, c6f53ed8f213). What passes in the
    microseconds between reading and writing is missed, unless it is the highest of all, which the
    last reading makes good. Before 6.12 only bursts higher than all before them show.
    """

    def __init__(
        self, cgroup: CgroupDir, stamp: Callable[[], tuple[float, float]], *, new: bool
    ) -> None:
        """Read `cgroup`, which stays the caller's to close; files are opened when first read.

        `stamp` tells the time of a reading, of day and since boot. What a cgroup that is not `new`
        used at most before is not of this record.
        """
        self._cgroup = cgroup
        self._stamp = stamp
        self._new = new
        self._lock = threading.Lock()
        self._files: dict[str, CgroupFile | None] = {}
        self._resets: bool | None = None
        self._watermark = self._most = self._owed = 0
        self._last = Usage()

    def read(self, *, full: bool) -> Sample:
        """Read memory alone, or everything.

        Raises:
            CgroupGoneError: the cgroup was removed.
            CgroupError: a file cannot be opened now.
        """
        with self._lock:
            # Here, so that samples are in the order of their readings, whoever takes them.
            at, clock = self._stamp()
            memory, peak = self._memory()
            if peak is not None:
                # Begun anew in the kernel: should the rest fail, the next reading has to tell it.
                peak = self._owed = max(peak, self._owed)
            usage = Usage(memory=memory, peak=peak)
            if full:
                usage = self._last = self._rest(usage)
            self._most, self._owed = max(self._most, peak or 0), 0
            return Sample(at, clock, full, usage)

    def read_last(self) -> Sample:
        """Read everything, and see to it that the most ever used is in some reading.

        Raises:
            CgroupGoneError: the cgroup was removed.
        """
        sample = self.read(full=True)
        whole = counters.integer(self._cgroup, "memory.peak")
        if whole is not None and whole > self._most:
            sample = replace(sample, usage=replace(sample.usage, peak=whole))
        return sample

    def _memory(self) -> tuple[int | None, int | None]:
        current, high = self._file("memory.current"), self._file("memory.peak", writable=True)
        if current is None:
            return None, None
        if high is None:
            memory = int(current.read())
            return memory, memory
        peak = int(high.read())
        memory = int(current.read())
        if self._resets is None:
            self._resets = _can_reset(high)
            if not self._new:
                self._watermark = self._most = peak
                peak = memory
        elif self._resets and peak != memory:
            high.write("r")
        if not self._resets:
            # The highest of all times says something of this moment only if it has just risen.
            risen, self._watermark = peak > self._watermark, max(peak, self._watermark)
            return memory, max(peak, memory) if risen else memory
        return memory, max(peak, memory)

    def _rest(self, usage: Usage) -> Usage:
        file = self._file("cpu.stat")
        stat = {} if file is None else parse.flat_keyed(file.read().decode())
        cpu = stat.get("usage_usec")
        cgroup, last = self._cgroup, self._last
        some, full = _pressure(cgroup, "memory.pressure")
        usage = replace(
            usage,
            cpu=_us(cpu),
            throttled=_us(stat.get("throttled_usec")),
            memory_some=some,
            memory_full=full,
            cpu_some=_pressure(cgroup, "cpu.pressure")[0],
            io_some=_pressure(cgroup, "io.pressure")[0],
        )
        if cpu is not None and _TELLING(usage) == _TELLING(last):
            return replace(last, peak=usage.peak)
        reclaimed = _keyed(cgroup, "memory.stat").get("pgsteal")
        read, written = _io(cgroup)
        events = _keyed(cgroup, "memory.events.local")
        return replace(
            usage,
            pids=counters.integer(cgroup, "pids.current"),
            reclaimed=None if reclaimed is None else reclaimed * _PAGE,
            read=read,
            written=written,
            max_hits=events.get("max"),
            oom_kills=events.get("oom_kill"),
        )

    def _file(self, knob: str, *, writable: bool = False) -> CgroupFile | None:
        if knob not in self._files:
            self._files[knob] = _open(self._cgroup, knob, writable=writable)
        return self._files[knob]


def _open(cgroup: CgroupDir, knob: str, *, writable: bool) -> CgroupFile | None:
    """Open a file; None where the host lacks it. Out of descriptors it is tried again next time."""
    try:
        return CgroupFile.open(cgroup, knob, writable=writable)
    except KnobMissingError:
        return None
    except CgroupGoneError:
        raise
    except CgroupError:
        if not writable:
            raise
    return _open(cgroup, knob, writable=False)


def _can_reset(peak: CgroupFile) -> bool:
    """Try it: before 6.12 the kernel lets the file be opened for writing, and refuses the write."""
    try:
        peak.write("r")
    except CgroupGoneError:
        raise
    except CgroupError:
        return False
    return True


def _keyed(cgroup: CgroupDir, knob: str) -> dict[str, int]:
    try:
        return cgroup.read_keyed(knob)
    except CgroupGoneError:
        raise
    except CgroupError:
        return {}


def _io(cgroup: CgroupDir) -> tuple[int | None, int | None]:
    """Bytes read and written: "8:0 rbytes=1 wbytes=2 ..." a device."""
    try:
        text = cgroup.read("io.stat")
    except CgroupGoneError:
        raise
    except CgroupError:
        return None, None
    found = {"rbytes": 0, "wbytes": 0}
    for word in text.split():
        key, _, value = word.partition("=")
        if key in found and value.isdecimal():
            found[key] += int(value)
    return found["rbytes"], found["wbytes"]


def _pressure(cgroup: CgroupDir, knob: str) -> tuple[float | None, float | None]:
    """Seconds in which some waited, and all; the averages beside them would double the cost."""
    try:
        totals = [int(total) / 1e6 for total in _TOTAL.findall(cgroup.read(knob))]
    except CgroupGoneError:
        raise
    except CgroupError:
        # Without PSI (psi=0, or cgroup.pressure 0) the file is missing or cannot be read.
        totals = []
    some, full, *_ = [*totals, None, None]
    return some, full


def _us(value: int | None) -> float | None:
    return None if value is None else value / 1e6
