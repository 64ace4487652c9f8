"""What was recorded: the course of a call or session, and closed calls in figures."""

from dataclasses import dataclass

from agentcg.model.call import Call
from agentcg.model.event import Event
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.sample import Sample


@dataclass(frozen=True, slots=True)
class Account:
    """A closed call: what it asked for, was granted and used. Bytes and seconds, None: not known.

    `kind` is the class of its command, such as "git status" or "pytest".
    """

    call: CallId
    session: SessionId
    kind: str
    declared_at: float
    cause: Cause
    wall: float | None = None
    cpu: float | None = None
    peak: int | None = None
    throttled: float | None = None
    held: float | None = None
    oom_kills: int | None = None
    asked_limit: int | None = None
    asked_guarantee: int | None = None
    limit: int | None = None
    guarantee: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A session, open or closed, of which something was recorded from `since` to `until`."""

    session: SessionId
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for: a time (Unix seconds, None: no bound), and at most so many samples."""

    since: float | None = None
    until: float | None = None
    points: int = 500


@dataclass(frozen=True, slots=True)
class Trace:
    """The course of one call or, where `call` is None, of a session as a whole.

    `limit` and `guarantee` are what holds now, or held last; `limit` is None where nothing but
    memory.max further up holds. `taken` is how many readings `samples` stand for: where there
    were more than was asked for, one stands for several, with the highest `peak` of them; all
    else in it is of its own time. `cut`: there were too many to go through, and the oldest are
    left out. `lost` is how many samples of all calls could not be recorded since the daemon
    started.
    """

    session: SessionId
    call: Call | None
    limit: int | None
    guarantee: int
    samples: tuple[Sample, ...]
    events: tuple[Event, ...]
    taken: int = 0
    cut: bool = False
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of one figure over `count` calls in which it is known."""

    count: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class KindStats:
    """Closed calls of one class of commands.

    `used_of_limit` is the peak as a share of the limit that was asked for (intent versus real),
    `asked` how many asked for one, `failed` how many did not end by themselves.
    """

    kind: str
    calls: int
    failed: int
    oom: int
    asked: int
    peak: Spread
    wall: Spread
    cpu: Spread
    used_of_limit: Spread
