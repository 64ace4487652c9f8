"""What an export is made of, as it comes: a session, what was recorded of it, its calls."""

from dataclasses import dataclass, fields

from agentcg.model.call import Call
from agentcg.model.event import Event
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Account


@dataclass(frozen=True, slots=True)
class SessionItem:
    """From here on it is about this session."""

    session: str


@dataclass(frozen=True, slots=True)
class CallItem:
    """A call, from when it was declared to its end, or while it is open to when it was read.

    `record` is an account where the daemon has forgotten the rest. What outlives its end has
    samples until it is `closed`.
    """

    record: Call | Account
    begin: float
    end: float
    closed: float

    @property
    def session(self) -> str:
        """Whose it is."""
        return self.record.session

    @property
    def call(self) -> str:
        """Its id."""
        return self.record.call if isinstance(self.record, Account) else self.record.id

    @property
    def title(self) -> str:
        """What it runs, as far as that is kept."""
        if isinstance(self.record, Account):
            return self.record.kind
        return self.record.intent.command or self.record.intent.tool


@dataclass(frozen=True, slots=True)
class SampleItem:
    """A reading; `call` is "" for the session's own."""

    session: str
    call: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class EventItem:
    """An event of a session or a call."""

    event: Event


Item = SessionItem | CallItem | SampleItem | EventItem

COLUMNS = ("session", "call", "at", "clock", "full", *(field.name for field in fields(Usage)))


def row(item: SampleItem) -> list[object]:
    """A sample in the order of COLUMNS; None: not known."""
    one = item.sample
    usage = [getattr(one.usage, name) for name in COLUMNS[5:]]
    return [item.session, item.call, round(one.at, 3), round(one.clock, 3), one.full, *usage]
