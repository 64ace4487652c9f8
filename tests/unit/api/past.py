"""What a fake controller remembers of what is over."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agentcg.model.trace import Account, Recorded, Window


@dataclass
class Past:
    """Closed calls and recorded sessions; answered in pages, as the daemon does."""

    accounts: list[Account] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)

    def page(self, session: str | None, window: Window, before: str | None) -> Sequence[Account]:
        """Closed calls of a time, newest first."""
        since, until = _bounds(window)
        found = [
            one
            for one in self.accounts
            if session in (None, one.session)
            and since <= one.declared_at <= until
            and (before is None or one.declared_at < until or one.call < before)
        ]
        found.sort(key=lambda one: (one.declared_at, one.call), reverse=True)
        return found[: window.points]

    def sessions(
        self, session: str | None, window: Window, after: str | None
    ) -> Sequence[Recorded]:
        """Recorded sessions of a time, by name."""
        since, until = _bounds(window)
        found = [
            one
            for one in self.recorded
            if session in (None, one.session)
            and one.until >= since
            and one.since <= until
            and one.session > (after or "")
        ]
        return sorted(found, key=lambda one: one.session)[: window.points]


def _bounds(window: Window) -> tuple[float, float]:
    since = 0.0 if window.since is None else window.since
    return since, 1e12 if window.until is None else window.until
