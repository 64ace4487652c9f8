"""How many connections a door holds, and for whom: one session cannot crowd out the others."""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from agentcg.api.controller import Door, Peer
from agentcg.errors import LimitError
from agentcg.model.ids import SessionId

PER_SESSION = 16
# Of the web view's, so many that each of a crowd is told what is wrong.
TOTAL = {Door.ADMIN: 128, Door.AGENT: 512, Door.WEB: 256}


@dataclass(eq=False, slots=True)
class Link:
    """One connection. `key` stands for its peer until a request has told the session.

    `running` counts its requests; `waiting` is set while the next one has not come whole,
    `endless` while it is answered by a stream of events.
    """

    peer: Peer
    door: Door
    key: Hashable
    gate: "Gate"
    drop: Callable[[], None]
    session: SessionId | None = None
    running: int = 0
    waiting: bool = True
    endless: bool = False


class Gate:
    """The connections of one door, oldest first."""

    def __init__(self, door: Door, *, total: int | None = None) -> None:
        self.door = door
        self._total = TOTAL[door] if total is None else total
        self._links: dict[Link, None] = {}
        self._held: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._links)

    def admit(self, link: Link) -> None:
        """Take in a new connection; at the total another one makes room.

        That is the one that has waited longest for its peer, else the oldest stream of whoever
        holds most connections: its reader resumes where it was.

        Raises:
            LimitError: its peer has too many already, or all of the door's are busy.
        """
        if self.door is Door.AGENT and self._held[link.key] >= PER_SESSION:
            raise LimitError(_too_many("cgroup"))
        if len(self._links) >= self._total:
            # Whoever sends a request at once is never the one that has waited longest.
            spare = next((one for one in self._links if one.waiting), None) or self._stream()
            if spare is None:
                raise LimitError(f"all {self._total} connections of this door are busy; retry")
            spare.drop()
            self.release(spare)
        self._links[link] = None
        self._held[link.key] += 1

    def claim(self, link: Link, session: SessionId | None) -> None:
        """Count the connection for its session, which may change: its peer may have moved.

        Raises:
            LimitError: the session has too many.
        """
        if link not in self._links:  # dropped while its request was under way
            raise LimitError("the connection is closed; connect again")
        if session != link.session:
            if session is not None and self._held[session] >= PER_SESSION:
                raise LimitError(_too_many("session"))
            self._forget(link.session or link.key)
            link.session = session
            self._held[session or link.key] += 1

    def release(self, link: Link) -> None:
        """Forget a connection; a second time does nothing."""
        if link in self._links:
            del self._links[link]
            self._forget(link.session or link.key)

    def rested(self, link: Link) -> None:
        """A request is over: the connection counts as young again."""
        if link in self._links:
            del self._links[link]
            self._links[link] = None

    def _stream(self) -> Link | None:
        streams = (one for one in self._links if one.endless)
        return max(streams, key=lambda one: self._held[one.session or one.key], default=None)

    def _forget(self, key: Hashable) -> None:
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]


def _too_many(whose: str) -> str:
    return f"this {whose} has {PER_SESSION} connections already: close one, or retry in a second"
