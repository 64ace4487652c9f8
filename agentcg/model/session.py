"""One agent's sandbox: a container, a systemd scope, or a bare cgroup."""

from dataclasses import dataclass
from enum import StrEnum

from agentcg.model.ids import SessionId


class Runtime(StrEnum):
    """Who made the session's cgroup."""

    DOCKER = "docker"
    SCOPE = "scope"
    BARE = "bare"


class Undeclared(StrEnum):
    """What holds for work that an agent does outside any call."""

    OBSERVE = "observe"
    CAP = "cap"
    PLACE = "place"  # cap, and move commands into calls of their own


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a session's calls may ask for; bytes and counts, None means no bound."""

    memory: int | None = None
    guarantee: int | None = None
    pids: int | None = None
    calls: int = 256


@dataclass(frozen=True, slots=True)
class Session:
    """The record of one session.

    `cgroup` is the path below the cgroup root, `cgroup_id` the inode that it had: a cgroup that
    was removed and made again under the same name is another one. `origin` is where the processes
    of a bare session came from, and go back to; `uid` whose it is, if a process opened it for
    itself. `founders` are the processes that it was opened with, its harness, by number and start
    (in ticks since boot). `way_out` says how processes of a container that is held can have work
    done elsewhere. `limit` is the memory that it might use, bytes, when it was opened or, of a
    closed one, at its end: the least memory.max from it to the root, or its budget.
    """

    id: SessionId
    runtime: Runtime
    cgroup: str
    cgroup_id: int
    priority: int = 0
    budget: Budget = Budget()
    undeclared: Undeclared = Undeclared.CAP
    container: str | None = None
    name: str = ""
    origin: str | None = None
    uid: int | None = None
    created_at: float = 0.0
    observe_only: str | None = None
    way_out: str | None = None
    founders: tuple[tuple[int, int], ...] | None = None
    limit: int | None = None
