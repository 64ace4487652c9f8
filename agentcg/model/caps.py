"""The caps of a session's two halves, its agent and its calls."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caps:
    """Bytes and counts; None means that the session has no such limit to share out."""

    reserve: int
    calls_memory: int | None
    agent_memory: int | None
    calls_pids: int | None
    agent_pids: int | None
