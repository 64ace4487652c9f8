"""Why a call fared as it did: what happened when, its limits and use, and who held the pool."""

from dataclasses import dataclass
from enum import StrEnum

from agentcg.model.call import Call
from agentcg.model.event import Kind
from agentcg.model.sample import Usage


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the timeline: `since` is seconds after the declaration, `times` how often."""

    at: float
    since: float
    kind: Kind
    text: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Bound:
    """One knob: what was granted and what was used, in the same unit; None: none, not known.

    `source` says who set it: declared, learned, or a default. `enforced` is as in the grant.
    """

    knob: str
    granted: float | None
    used: float | None
    source: str
    enforced: str


class Whose(StrEnum):
    """Who held memory."""

    THIS = "this call"
    CALL = "another call"
    OUTSIDE = "a session's work outside known calls"
    OTHERS = "all others"
    SESSIONS = "other sessions"


@dataclass(frozen=True, slots=True)
class Holding:
    """Bytes that somebody held at a moment; `count` of them where they are told as a sum.

    Of what the asker may not see there is neither session nor call nor command.
    """

    whose: Whose
    memory: int
    session: str | None = None
    call: str | None = None
    command: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Pressed:
    """A moment of pressure: why it is one, and who held how much, the most first.

    `cut`: there was too much to go through, so somebody may be missing.
    """

    at: float
    since: float
    why: str
    held: tuple[Holding, ...]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """The evidence about one call.

    `used` has of memory the last reading and the peak, the most tasks, and of the rest what it came
    to. `pool` is what the sessions share, in bytes, as it is now. `decided` is what was granted,
    cut and done in words, `advice` what would be done now. `gaps` are what is not known, and why.
    """

    call: Call
    timeline: tuple[Step, ...]
    bounds: tuple[Bound, ...]
    used: Usage
    pool: int | None
    pressed: tuple[Pressed, ...]
    decided: tuple[str, ...]
    advice: tuple[str, ...]
    gaps: tuple[str, ...] = ()
