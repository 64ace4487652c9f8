"""What is seen of processes: a fork, an exec or an exit in an agent's cgroup, whoever tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ARGUMENTS = 2048  # bytes that are kept of the arguments: their beginning
VALUE = 1024  # bytes that a value of an environment may have; a longer one is nothing of ours
# What is read of an environment: which call, which span, which conversation, which wish.
NAMES = (
    *("AGENTCG_CALL", "TRACEPARENT", "CLAUDE_CODE_SESSION_ID", "OPENHANDS_SESSION_ID"),
    "AGENT_RESOURCE_HINT",
)


class What(StrEnum):
    """What a process did."""

    FORK = "fork"
    EXEC = "exec"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing seen. `agent` is the id of the agent's cgroup, `parent` of a fork who forked.

    `start` is in clock ticks since boot, 0 where it is not known. What an exec was given is the
    process's own choice: hints, never proof.
    """

    what: What
    agent: int
    pid: int
    parent: int = 0
    start: int = 0
    words: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def words_of(raw: bytes) -> tuple[str, ...]:
    """Arguments as the kernel lays them out: a NUL behind each."""
    return tuple(_text(raw.removesuffix(b"\0")).split("\0")) if raw else ()


def env_of(raw: bytes) -> dict[str, str]:
    """What of an environment, laid out the same way, is of use; where a name is twice, the last."""
    found = {}
    for name in NAMES:
        # As this is done for each program that an agent starts, nothing is made of the rest.
        _, there, rest = (b"\0" + raw).rpartition(b"\0%b=" % name.encode())
        value = rest.partition(b"\0")[0]
        if there and len(value) <= VALUE:
            found[name] = _text(value)
    return found


def _text(raw: bytes) -> str:
    # Fit to be told and kept, whatever a process put there.
    return raw.decode("utf-8", "backslashreplace")
