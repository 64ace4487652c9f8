"""What the daemon answers: records together with what was read for them just now."""

from collections.abc import Mapping
from dataclasses import dataclass

from agentcg.model.call import Call
from agentcg.model.gpu import Lease
from agentcg.model.sample import Counters
from agentcg.model.session import Session


@dataclass(frozen=True, slots=True)
class CallView:
    """A call and its leaf's counters (those of its last reading once it is closed).

    `leases` are those of GPU memory as the ledger has them now.
    """

    call: Call
    usage: Counters
    leases: tuple[Lease, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session, its open calls, and the memory figures that its caps follow from; bytes.

    `undeclared` counts the commands that were seen outside calls since the daemon looks.
    """

    session: Session
    open_calls: int
    memory: int | None = None
    limit: int | None = None
    reserve: int | None = None
    calls_limit: int | None = None
    agent_limit: int | None = None
    undeclared: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `agentcg doctor`: a mechanism, whether it works here, and why or what to do."""

    name: str
    works: bool
    detail: str


@dataclass(frozen=True, slots=True)
class HostView:
    """The host as the daemon sees it."""

    version: str
    tier: str
    kernel: str
    memory_total: int
    cpus: int
    mechanisms: tuple[Check, ...]
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UiLink:
    """Into the web view: `url` opens it once, within `seconds`."""

    url: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer to `acg run`: variables for the command, words for stderr, or a refusal.

    `exit_code` is set when the command must not run at all.
    """

    env: Mapping[str, str]
    messages: tuple[str, ...] = ()
    exit_code: int | None = None
