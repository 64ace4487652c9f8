"""Work outside any call: quick as long as it is little, and within an allowance of memory.

An agent that never declares must not do better than one that does. So what runs beside the calls
has a credit of CPU time; when it is spent the cgroup's weight drops until the credit is back. And
memory counts as the agent's own only if the processes hold it that the session was opened with (the
harness), or after a while: what an agent keeps grows over minutes, a build in seconds.

Example: a session of 4 GiB whose agent uses 200 MiB. It may grow to 1.25 x 200 MiB + 64 MiB and
25 % of 4 GiB = 1338 MiB at once; by 410 MiB a minute more if it stays there.
"""

from collections.abc import Callable
from dataclasses import dataclass

CREDIT = 0.2  # seconds of CPU
REFILL = 0.1  # of a core
WEIGHT_FULL = 100
WEIGHT_SPENT = 10
SETTLE = 0.1 / 60  # of the session's limit, a second


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


@dataclass(frozen=True, slots=True)
class Settled:
    """Bytes that count as the agent's own, and when that was so."""

    memory: int
    at: float


def settle(
    old: Settled | None,
    used: int,
    limit: int | None,
    now: float,
    harness: Callable[[], int] = lambda: 0,
) -> Settled:
    """Let what counts as the agent's own follow `used` bytes: down at once, up slowly.

    What it uses when the session is opened (`old` is None) is its own; without a limit all is.
    `harness` tells, where it matters, what the processes hold that the session was opened with:
    that is its own however fast it grows.
    """
    if old is None or limit is None:
        return Settled(used, now)
    risen = old.memory + int(SETTLE * limit * max(0.0, now - old.at))
    if used > risen:
        risen = max(risen, harness())
    return Settled(min(used, risen), now)
