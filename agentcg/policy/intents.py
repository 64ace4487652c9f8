"""Intent versus real: what calls were promised and did not use, and how good their words were."""

from collections import Counter
from collections.abc import Iterable, Sequence

from agentcg.model.outcome import Cause
from agentcg.model.trace import Account

# Shares of the asked limit that a peak may have reached, each up to and with this one.
SHARES = (0.25, 0.5, 0.8, 1.0)


def promised(one: Account) -> int:
    """The memory that was declared or granted for a call: the most of what it holds; bytes.

    A limit counts where the call itself asked for one, and then as far as it was granted.
    """
    asked = one.asked_limit or 0
    if asked and one.limit is not None:
        asked = min(asked, one.limit)
    return max(one.guarantee, asked)


def unused(one: Account) -> int | None:
    """What of that it never used; None where nothing was promised or its peak is not known."""
    held = promised(one)
    if not held or one.peak is None:
        return None
    return max(0, held - one.peak)


def wasted(one: Account) -> float:
    """Unused memory times how long: byte-seconds."""
    return (unused(one) or 0) * (one.wall or 0.0)


def top_wasters(accounts: Iterable[Account], most: int) -> Sequence[Account]:
    """Those that wasted most, the worst first."""
    found = [one for one in accounts if wasted(one) > 0]
    return sorted(found, key=lambda one: (-wasted(one), one.call))[:most]


def accuracy(accounts: Iterable[Account]) -> Sequence[int]:
    """How many calls peaked in each of `SHARES` of the limit they asked for, and how many above."""
    counts = [0] * (len(SHARES) + 1)
    for one in accounts:
        if one.peak is not None and one.asked_limit:
            share = one.peak / one.asked_limit
            counts[sum(share > bound for bound in SHARES)] += 1
    return counts


def by_cause(accounts: Iterable[Account]) -> Counter[Cause]:
    """How many calls ended by each cause."""
    return Counter(one.cause for one in accounts)
