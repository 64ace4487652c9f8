"""Bytes of a lease's account that no probe saw taken: what was there before the probes were.

The driver tells what processes have in all. What of that no call is charged for was there before.
It can only become less: whatever is taken from now on is seen, and charged apart.
"""

from dataclasses import dataclass, field

_NEVER = float("-inf")


@dataclass(slots=True)
class Before:
    """What is known of one account's; `at`: when the driver was asked by which it is."""

    at: float = _NEVER
    last: int = 0  # by an earlier daemon: what counts where the driver has told nothing by `due`
    due: float = float("inf")
    _account: tuple[int, int] | None = field(default=None, init=False)  # used, changes
    _hidden: int = field(default=0, init=False)
    _told: int = field(default=0, init=False)
    _begun: float = field(default=_NEVER, init=False)

    def untold(self, now: float) -> int | None:
        """What counts in place of the driver's word, once, where that has not come."""
        if self._begun != _NEVER or now < self.due:
            return None
        self.due = float("inf")
        return self.last

    def read(
        self, told: int, begun: float, *, size: int, used: int, changes: int, hidden: int
    ) -> int | None:
        """What was there before, where that is not `size`; `told` by a driver asked at `begun`.

        `used`, with `size` in it, and `changes` are the account's after that. It counts only where
        they were so after the last reading too: a call that was under way is in the account, and
        may not be in the reading. For as much as is `hidden` that is always so.
        """
        # Of two the larger: what a call was just being given may lack in the first.
        most, self._told = max(told, self._told), told
        since, self._begun = self._begun, begun
        # Of two the first: what was hidden then may have come back since, and after the reading.
        covered, self._hidden = max(0, self._hidden), hidden
        still, self._account = self._account == (used, changes), (used, changes)
        if not still:
            return None
        seen = max(0, used - size)
        # What is hidden is all in the reading, or nothing of it.
        low, high = max(0, most - seen), max(0, most - max(0, seen - covered))
        known = self.at != _NEVER
        left = min(size, high) if known else min(max(size, low), high)
        if known or not covered:
            self.at = since
        if left == size:
            return None
        self._account = (seen + left, changes)
        return left
