"""What each session may have recorded in a day: one that floods costs itself its record alone."""

from collections.abc import Callable

from agentcg.model.event import Event
from agentcg.telemetry.dayfile import Chunk, Row

# Of what all files may take; a busy call takes 400 KiB an hour.
SHARE = 16
# What a row takes beside its own bytes, indexes and all.
_ROW = 150


class Quota:
    """Counts bytes by session and day, from the daemon's start on."""

    def __init__(self, size: int, now: Callable[[], float], tell: Callable[[str], None]) -> None:
        self._most = size // SHARE
        self._now, self._tell = now, tell
        self._day = 0
        self._used: dict[str, int] = {}

    def admits(self, row: Row) -> bool:
        """Count a row; False if its session has had its share of today."""
        day = int(self._now() // 86400)
        if day != self._day:
            self._day, self._used = day, {}
        session = row.session or ""
        before = self._used.get(session, 0)
        after = self._used[session] = before + _bytes(row)
        if before <= self._most < after:
            self._tell(
                f"session {session}: has had {self._most >> 20} MiB of traces recorded, its share "
                f"of a day; no more of it until tomorrow (raise traces.size)"
            )
        return after <= self._most


def _bytes(row: Row) -> int:
    match row:
        case Chunk():
            return _ROW + len(row.data)
        case Event():
            return _ROW + len(row.text)
        case _:
            return _ROW
