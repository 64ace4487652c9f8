"""Stall detection: a call that thrashes at its limit instead of being killed by it.

Without swap a call whose file pages just fit can spend minutes reading its own code back in: the
kernel makes progress, so it never calls the OOM killer, and the caller sees a hang.
"""

from dataclasses import dataclass

from agentcg.model.sample import Counters

PRESSURE = 40.0  # percent of the last 10 s in which every task of the call waited for memory
FULL = 0.95  # of the limit
ADVISE_AFTER = 5.0
KILL_AFTER = 30.0


@dataclass(frozen=True, slots=True)
class Stall:
    """Since when a call stalls, and whether that has been told; None while it does not."""

    since: float | None = None
    told: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do now: tell, kill, or neither."""

    state: Stall
    tell: bool = False
    kill: bool = False


def judge(stall: Stall, counters: Counters, limit: int | None, now: float) -> Verdict:
    """Fold one reading in. Hysteresis: a stall ends when pressure falls to half the threshold."""
    pressure, memory = counters.pressure, counters.memory
    if limit is None or pressure is None or memory is None:
        return Verdict(Stall())
    if stall.since is None:
        stalls = pressure >= PRESSURE and memory >= FULL * limit
        return Verdict(Stall(since=now) if stalls else Stall())
    if pressure < PRESSURE / 2 or memory < (FULL - 0.05) * limit:
        return Verdict(Stall())
    lasted = now - stall.since
    # Told before it is killed, even when the clock leaps over both thresholds at once.
    if lasted >= ADVISE_AFTER and not stall.told:
        return Verdict(Stall(stall.since, told=True), tell=True)
    return Verdict(stall, kill=lasted >= KILL_AFTER)
