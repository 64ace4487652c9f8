"""What memory.high a session's calls get, so that a tight pool slows down the right ones.

Where the kernel cannot hold calls up by itself (tier T0), it still slows down whoever is above
memory.high (Documentation/admin-guide/cgroup-v2.rst): a batch of 64 pages waits hardly at all
just above it and 2 s, the most there is, from 18 % above it on. So memory.high serves twice:

- as a tripwire, above what a session uses: whoever passes it is slower by a little and makes an
  event, and then everybody is looked at again. That is how nobody has to be looked at meanwhile.
- as a step, below what a session uses: it is held up.

While the pool has slack (unused guarantees count as used) there are tripwires at most, and not even
those where all that the calls may use fits. In a tight pool those of the lowest priority that are
over their guarantees are held up, such that the kernel delays them most where the pool ends for
their priority; the others are free until it ends for theirs. It ends the earlier the lower the
priority, by up to `band`, so a higher one is never held up before a lower one.

Example. A pool of 408 MiB, slack 326, band 41; low (-50) uses 250, high (50) 10 of 180 guaranteed.
250 + 10 + 170 are more than the slack: tight. The pool ends for low at 408 - 31, which it has
passed, so its memory.high is 250 / 1.18 = 212 MiB: it gets a batch every 2 s. High may go to its
180 MiB, and 398 - 430 leaves it no more than that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agentcg.model.ids import SessionId

MIB = 1 << 20
PAGE = 4096
HARSH = 1.18  # times memory.high: here the kernel's delay is at its longest, 2 s
LEAST = 64 * MIB  # no step below this: programs too small for it thrash and free nothing
_GRAIN = 32  # parts of the pool; less than one of them is no room, and no change worth a write


@dataclass(frozen=True, slots=True)
class Pool:
    """What sessions share, bytes: nobody waits below `slack`, everybody beyond `size`.

    `full` says that it is at its limit, if only by page cache: then others' waiting counts too.
    """

    size: int
    slack: int
    band: int
    used: int
    full: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """A session with calls. Bytes; None means no bound, and for `high` that it is "max".

    `guaranteed` is the sum for its calls, `unused` what they have not used of that, `most` what
    they may use by their limits, `priority` that of its most important call, `high` what stands.
    `waits` says that its tasks waited for memory of late, and not because it was held up.
    """

    session: SessionId
    used: int
    guaranteed: int = 0
    unused: int = 0
    most: int | None = None
    priority: int = 0
    high: int | None = None
    waits: bool = False

    @property
    def held(self) -> bool:
        """Whether it is above what stands."""
        return self.high is not None and self.high < self.used

    @property
    def over(self) -> bool:
        """Whether it has anything that it could be held up for."""
        return self.used > self.least

    @property
    def least(self) -> int:
        """What it is never held below."""
        return max(self.guaranteed, LEAST)

    @property
    def base(self) -> int:
        """What is its own already: used, or promised."""
        return max(self.used, self.guaranteed)


def decide(pool: Pool, shares: Sequence[Share]) -> Mapping[SessionId, int | None]:
    """The memory.high of each session; None is "max". Deciding twice changes nothing more."""
    filled = pool.used + sum(s.unused for s in shares)
    if _fits(pool, filled, shares):
        return {s.session: None for s in shares}
    first = _first(pool, filled, shares)
    return {s.session: _settled(pool, s, _target(pool, filled, shares, s, first)) for s in shares}


def _fits(pool: Pool, filled: int, shares: Sequence[Share]) -> bool:
    """Whether the pool has slack even for all that the calls' limits allow them."""
    for share in shares:
        if share.most is None:
            return False
        filled += max(0, share.most - share.base)
    return filled <= _ends(pool, shares)


def _first(pool: Pool, filled: int, shares: Sequence[Share]) -> int | None:
    """The priority that is held up first; None while nobody has to be."""
    lowest = min((s.priority for s in shares if s.over), default=None)
    return lowest if filled > _ends(pool, shares) or _wanted(pool, shares, lowest) else None


def _ends(pool: Pool, shares: Iterable[Share]) -> int:
    """Where slack ends; what began above it ends one grain below, not to begin again at once."""
    return pool.slack - (_grain(pool) if any(s.held for s in shares) else 0)


def _wanted(pool: Pool, shares: Iterable[Share], lowest: int | None) -> bool:
    """Whether someone more important waits for memory in a full pool, of the page cache's share."""
    if lowest is None or not pool.full:
        return False
    return any(s.waits and s.priority > lowest for s in shares)


def _target(
    pool: Pool, filled: int, shares: Sequence[Share], share: Share, first: int | None
) -> int:
    free = max(share.base, LEAST)
    if first is None:
        return free + max((pool.slack - filled) // len(shares), _grain(pool))
    room = pool.size - pool.band * (100 - share.priority) // 200 - filled
    # What it may take before the others are looked at again.
    part = 0 if room < _grain(pool) else max(room // len(shares), _grain(pool))
    if share.over and (share.priority == first or not part):
        harshest = max(share.least, int(share.used / HARSH))
        if _wanted(pool, shares, first):
            return harshest
        # Nobody gets nothing: the kernel lets a batch through every 2 s.
        return max(harshest, min(int((share.used + part) / HARSH), share.used - PAGE))
    return free + part


def _settled(pool: Pool, share: Share, target: int) -> int | None:
    """The target, or what stands if that does as well."""
    high = share.high
    if target >= share.used and share.most is not None and target >= share.most:
        return None
    if (
        high is not None
        and high >= share.guaranteed
        and abs(high - target) < _grain(pool)
        and share.held == (target < share.used)
    ):
        return high
    return target


def _grain(pool: Pool) -> int:
    return max(PAGE, pool.size // _GRAIN)


@dataclass(frozen=True, slots=True)
class Jam:
    """Since when everybody in the pool has been held up to a standstill, and whether it was told.

    None gives memory back then: somebody has to go, or all would stand for ever.
    """

    since: float | None = None
    told: bool = False


ADVISE_AFTER = 5.0
KILL_AFTER = 30.0


def jam(before: Jam, *, all_stand: bool, now: float) -> tuple[Jam, bool]:
    """Fold one look in; whether a call has to be killed now. After a kill it starts anew."""
    if not all_stand:
        return Jam(), False
    since = now if before.since is None else before.since
    if before.told and now - since >= KILL_AFTER:
        return Jam(), True
    return Jam(since, told=now - since >= ADVISE_AFTER), False
