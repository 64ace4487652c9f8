"""When a cgroup is read again: every 100 ms while it moves, every few seconds while it does not.

A burst between two readings is not lost, for the kernel keeps its height; the rate only says how
well its time is known.
"""

from dataclasses import dataclass

from agentcg.model.sample import Usage

TICK = 0.1
# Everything but memory, at most this often.
FULL = 1.0
QUIET = 3.2
MOVED = 1 << 20
MOVED_SHARE = 0.01
RAN = 0.01  # of one CPU


@dataclass(frozen=True, slots=True)
class Cadence:
    """When the next reading is due, and the next full one; `least` is the shortest interval."""

    least: float = TICK
    every: float = TICK
    due: float = 0.0
    full_due: float = 0.0

    def is_full(self, now: float) -> bool:
        """Whether a reading at `now` is to be a full one."""
        return now >= self.full_due


def after(cadence: Cadence, now: float, *, moved: bool, ran: bool, full: bool) -> Cadence:
    """Fold a reading in: what moved is read soon again, what did not twice as late as before.

    Readings are due on a grid, so that those of all calls are one batch.
    """
    every = cadence.least if moved else min(cadence.every * 2, QUIET)
    if ran:
        every = min(every, max(FULL, cadence.least))
    slot = _slot(now)
    full_due = slot + FULL if full else cadence.full_due
    return Cadence(cadence.least, every, slot + every, full_due)


def until_tick(now: float) -> float:
    """Seconds until the next point of the grid."""
    return max(0.0, (int(now / TICK) + 1) * TICK - now)


def _slot(now: float) -> float:
    """The point of the grid that is nearest."""
    return int(now / TICK + 0.5) * TICK


def stirred(cadence: Cadence, now: float) -> Cadence:
    """Something happened to it: it is due at once, but not sooner than its rate allows."""
    due = min(cadence.due, max(now, cadence.due - cadence.every + cadence.least))
    return Cadence(cadence.least, cadence.least, due, cadence.full_due)


def moved(before: Usage, now: Usage) -> bool:
    """Whether memory changed by much, or rose and fell in between."""
    if before.memory is None or now.memory is None:
        return before.memory != now.memory
    bound = max(MOVED, int(before.memory * MOVED_SHARE))
    high = max(now.memory, now.peak or 0)
    return abs(now.memory - before.memory) >= bound or high - before.memory >= bound


def ran(before: Usage, now: Usage, seconds: float) -> bool:
    """Whether it used CPU time worth a look, going by two full readings."""
    if before.cpu is None or now.cpu is None:
        return now.cpu is not None and now.cpu > 0
    return now.cpu - before.cpu >= RAN * seconds
