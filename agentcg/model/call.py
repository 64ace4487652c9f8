"""One tool call: its record and the states it may go through."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from agentcg.errors import ConflictError
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Outcome


class CallState(StrEnum):
    """Declared, running, perhaps frozen, over (exited or killed), lingering, closed."""

    DECLARED = "declared"
    RUNNING = "running"
    FROZEN = "frozen"
    EXITED = "exited"
    KILLED = "killed"
    LINGERING = "lingering"
    CLOSED = "closed"


_LEGAL: dict[CallState, frozenset[CallState]] = {
    CallState.DECLARED: frozenset({CallState.RUNNING, CallState.KILLED, CallState.CLOSED}),
    CallState.RUNNING: frozenset({CallState.FROZEN, CallState.EXITED, CallState.KILLED}),
    CallState.FROZEN: frozenset({CallState.RUNNING, CallState.EXITED, CallState.KILLED}),
    CallState.EXITED: frozenset({CallState.LINGERING, CallState.CLOSED}),
    CallState.KILLED: frozenset({CallState.LINGERING, CallState.CLOSED}),
    CallState.LINGERING: frozenset({CallState.CLOSED}),
    CallState.CLOSED: frozenset(),
}
OPEN = frozenset(CallState) - {CallState.CLOSED}
ALIVE = frozenset({CallState.RUNNING, CallState.FROZEN})


@dataclass(frozen=True, slots=True)
class Call:
    """The record of one call. Times are Unix seconds; `start_ticks` guards against pid reuse.

    `by_peer` marks a call whose process waits on the connection that declared it: if that is
    lost before the start, nobody will ever start it. `observed`: nobody declared it, the observer
    found its process and moved it here. `placement` is what the kernel took to move
    that process, in seconds. `calls_oom` and `session_oom` are those levels' own counters of
    memory.events.local when the call was declared: what is above them happened beside the call.
    """

    id: CallId
    session: SessionId
    intent: Intent
    grant: Grant
    state: CallState = CallState.DECLARED
    declared_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    closed_at: float | None = None
    pid: int | None = None
    start_ticks: int | None = None
    cgroup_id: int | None = None
    by_peer: bool = False
    observed: bool = False
    placement: float | None = None
    calls_oom: int = 0
    session_oom: int = 0
    outcome: Outcome | None = None

    @property
    def lifetime(self) -> tuple[float, float]:
        """Its first and last moment, which is inf while it is open.

        A clock that was put back may have closed it before it was declared.
        """
        end = math.inf if self.closed_at is None else self.closed_at
        return min(self.declared_at, end), max(self.declared_at, end)

    def to(self, state: CallState, **changes: Any) -> "Call":  # noqa: ANN401 - fields of this class
        """Go to `state`.

        Raises:
            ConflictError: the life-cycle has no such step.
        """
        if state not in _LEGAL[self.state]:
            raise ConflictError(
                f"call {self.id} is {self.state.value}: it cannot become {state.value}"
            )
        return replace(self, state=state, **changes)
