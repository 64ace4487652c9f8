"""CPU for work outside any call: quick as long as it is little.

An agent that never declares must not do better than one that does, so what runs beside the calls
has a credit of CPU time; when it is spent the cgroup's weight drops until the credit is back.
"""

from dataclasses import dataclass

CREDIT = 0.2  # seconds of CPU
REFILL = 0.1  # of a core
WEIGHT_FULL = 100
WEIGHT_SPENT = 10


@dataclass(frozen=True, slots=True)
class Credit:
    """Seconds of CPU left, the cpu.stat reading it was taken at, and the weight that follows."""

    left: float = CREDIT
    cpu: float | None = None
    at: float | None = None
    weight: int = WEIGHT_FULL


def spend(credit: Credit, cpu: float, now: float) -> Credit:
    """Fold in a reading of the cgroup's CPU time (seconds); back up only at a full credit."""
    if credit.cpu is None or credit.at is None:
        return Credit(credit.left, cpu, now, credit.weight)
    # A clock that is set back, or a counter that begins anew, neither charges nor pays.
    refill, used = REFILL * max(0.0, now - credit.at), max(0.0, cpu - credit.cpu)
    left = min(CREDIT, max(-CREDIT, credit.left + refill - used))
    weight = credit.weight
    if left <= 0:
        weight = WEIGHT_SPENT
    elif left >= CREDIT:
        weight = WEIGHT_FULL
    return Credit(left, cpu, now, weight)
