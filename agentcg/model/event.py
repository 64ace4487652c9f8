"""Anything told to the outside, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What happened. The value is the SSE event name, so it never changes."""

    SESSION_OPENED = "session.opened"
    SESSION_CLOSED = "session.closed"
    CALL_DECLARED = "call.declared"
    CALL_STARTED = "call.started"
    CALL_FROZEN = "call.frozen"
    CALL_THAWED = "call.thawed"
    CALL_CHANGED = "call.changed"
    CALL_STALLED = "call.stalled"
    CALL_OOM = "call.oom"
    CALL_ENDED = "call.ended"
    CALL_LINGERING = "call.lingering"
    CALL_CLOSED = "call.closed"
    PRESSURE = "pressure"
    AGENT_OOM = "agent.oom"
    FAIL_OPEN = "agent.unmanaged"
    DAEMON = "daemon"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `seq` rises by one; a reader that sees a gap has lost events and is told so."""

    seq: int
    at: float
    kind: Kind
    session: str | None = None
    call: str | None = None
    text: str = ""
    data: Mapping[str, str | int | float | None] = field(default_factory=dict)
