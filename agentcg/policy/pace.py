"""So many a second and no more: what a storm of events may cost."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """What was let through in one second, and what was not since anything was."""

    second: int = 0
    count: int = 0
    skipped: int = 0

    def allows(self, most: int, now: float) -> bool:
        """Whether one more is, at `now`; one that is not is counted."""
        if int(now) != self.second:
            self.second, self.count = int(now), 0
        if self.count >= most:
            self.skipped += 1
            return False
        self.count += 1
        return True

    def settle(self) -> int:
        """How many were skipped since this was asked last."""
        skipped, self.skipped = self.skipped, 0
        return skipped
