"""The calls that hooks of one session have spoken of: before, while and after they run."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from agentcg.harness.told import Told
from agentcg.model.ids import CallId

REMEMBERED = 256


@dataclass(slots=True)
class Announced:
    """A call that a hook spoke of.

    `looks` is what it is found by (see lookup), `hint` what its own command asks for. It is
    `taken` when its process has come, and `call` set when that was placed; `over` once the
    harness has gone on to something else; `at` is when the hook spoke of it. `typed`: it is
    a line in a shell that reads commands, and may start more; `more` when it did.
    """

    key: str
    told: Told
    command: str
    looks: str
    hint: str | None = None
    taken: bool = False
    call: CallId | None = None
    over: bool = False
    at: float = 0.0
    typed: bool = False
    more: bool = False


@dataclass(slots=True)
class Hooked:
    """Oldest first; a session can have no more than `REMEMBERED` of them."""

    known: dict[str, Announced] = field(default_factory=dict)

    def add(self, one: Announced) -> None:
        """Note a call; told again before its process came, the later word counts."""
        known = self.known.get(one.key)
        if known is None or not known.taken:
            for earlier in self.of(one.told.session):
                earlier.typed = False  # if nobody said that it is over: what comes is not of it
            self.known[one.key] = one
        while len(self.known) > REMEMBERED:
            del self.known[next(iter(self.known))]

    def drop(self, one: Announced) -> None:
        """Forget a call."""
        self.known.pop(one.key, None)

    def waiting(self, session: str | None = None) -> Iterator[tuple[str, str]]:
        """Key and looks of the calls whose process has not come; `session`'s own first.

        The newest of those first: an older one that looks the same was probably denied.
        """
        waiting = self.expected()
        waiting.sort(key=lambda one: one.told.session != session)
        return ((one.key, one.looks) for one in waiting)

    def expected(self) -> list[Announced]:
        """The calls whose process has not come, the newest first."""
        return [one for one in reversed(self.known.values()) if not one.taken]

    def take(self, key: str | None) -> Announced | None:
        """The call under a key, for the process that has just come; nobody else gets it."""
        one = None if key is None else self.known.get(key)
        if one is not None:
            one.taken = True
        return one

    def find(self, told: Told) -> Announced | None:
        """The call that an event is about, by the harness's id or else by its looks."""
        if told.key is not None:
            return self.known.get(told.key)
        if not told.digest:
            return None
        known = reversed(self.known.values())
        return next((o for o in known if not o.over and o.told.digest == told.digest), None)

    def of(self, session: str) -> list[Announced]:
        """All of one conversation."""
        return [one for one in self.known.values() if one.told.session == session]

    def forget(self, session: str) -> None:
        """Drop what never came of a conversation."""
        for one in self.of(session):
            if not one.taken:
                self.drop(one)
