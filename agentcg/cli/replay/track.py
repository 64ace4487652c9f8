"""The samples of one call or session, to be asked what was at a moment."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from agentcg.model.sample import Counters, Sample

_RECENT = 10.0  # seconds that pressure is told of


@dataclass(frozen=True, slots=True)
class Track:
    """In order of the time of day; `peaks` has the most so far, `full` those of everything."""

    samples: tuple[Sample, ...]
    times: tuple[float, ...]
    peaks: tuple[int | None, ...]
    full: tuple[Sample, ...]
    full_times: tuple[float, ...]

    def until(self, at: float, since: float = 0.0) -> tuple[Sample, ...]:
        """The samples of a time."""
        return self.samples[bisect_right(self.times, since) : bisect_right(self.times, at)]

    def counters(self, at: float) -> Counters:
        """What was read last; before the first reading nothing is known."""
        number = bisect_right(self.times, at) - 1
        if number < 0:
            return Counters()
        next_full = bisect_right(self.full_times, at)
        memory, peak = self.samples[number].usage.memory, self.peaks[number]
        if not next_full:
            return Counters(memory=memory, peak=peak)
        last = self.full[next_full - 1]
        # Between two readings it goes on evenly: in steps it would be too fast and then idle.
        after = self.full[min(next_full, len(self.full) - 1)]
        part = min(1.0, (at - last.at) / max(after.at - last.at, 1e-9))
        used = last.usage
        return Counters(
            memory,
            peak,
            _between(used.cpu, after.usage.cpu, part),
            _between(used.throttled, after.usage.throttled, part),
            used.pids,
            oom_kill=used.oom_kills,
            max_hits=used.max_hits,
            pressure=self._pressure(last),
        )

    def cpu(self, at: float) -> float:
        """CPUs in use between the last two full readings."""
        number = bisect_right(self.full_times, at)
        if number < 2:
            return 0.0
        before, now = self.full[number - 2 : number]
        return _rate(before.at, now.at, before.usage.cpu, now.usage.cpu) or 0.0

    def _pressure(self, now: Sample) -> float | None:
        number = min(bisect_right(self.full_times, now.at - _RECENT), len(self.full) - 1)
        before = self.full[number]
        share = _rate(before.at, now.at, before.usage.memory_full, now.usage.memory_full)
        return None if share is None else min(100.0, share * 100)


def track_of(samples: Iterable[Sample]) -> Track:
    """Put samples in order: the clock of a host may have been put back."""
    ordered = tuple(sorted(samples, key=lambda one: one.at))
    peaks: list[int | None] = []
    most: int | None = None
    for one in ordered:
        if one.usage.peak is not None:
            most = max(most or 0, one.usage.peak)
        peaks.append(most)
    full = tuple(one for one in ordered if one.full)
    times = tuple(one.at for one in ordered)
    return Track(ordered, times, tuple(peaks), full, tuple(one.at for one in full))


def _between(before: float | None, now: float | None, part: float) -> float | None:
    if before is None or now is None:
        return before
    return before + max(0.0, now - before) * part


def _rate(begin: float, end: float, before: float | None, now: float | None) -> float | None:
    if before is None or now is None or end <= begin:
        return None
    return max(0.0, now - before) / (end - begin)
