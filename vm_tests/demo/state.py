"""What the driver tells the display: one JSON line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter


@dataclass(frozen=True)
class CallNow:
    """The call that an agent waits for; bytes, None where the host does not tell."""

    number: int
    what: str
    state: str
    memory: int | None
    limit: int | None


@dataclass(frozen=True)
class TenantNow:
    """One agent and its session; `progress` goes from 0 to 1, `cpu` is a share of one CPU."""

    name: str
    priority: int
    progress: float
    alive: bool
    cpu: float | None
    memory: int | None
    limit: int | None
    call: CallNow | None


@dataclass(frozen=True)
class Now:
    """The state, once a second; the pool is what all sessions share."""

    t: float
    pool: int | None
    pool_limit: int | None
    tenants: Sequence[TenantNow]
    kind: Literal["now"] = "now"


@dataclass(frozen=True)
class Told:
    """An event of the daemon."""

    t: float
    tenant: str
    event: str
    text: str
    kind: Literal["told"] = "told"


@dataclass(frozen=True)
class Row:
    """How one call went."""

    tenant: str
    number: int
    what: str
    cpu_class: str
    guarantee: int
    asked: int
    granted: int | None
    peak: int | None
    throttled: float | None
    wall: float | None
    cause: str
    exit_code: int | None
    advice: str
    notes: Sequence[str]


@dataclass(frozen=True)
class Total:
    """How one agent fared.

    Its replay was `planned` to take so long and `took` so long. The rest is what the kernel counted
    for its session: seconds in which one of its tasks `waited` for a CPU and those that it got,
    and bytes; `reclaimed` is memory that was taken back.
    """

    tenant: str
    priority: int
    weight: int
    guarantee: int
    planned: float
    took: float | None
    waited: float | None
    cpu: float | None
    peak: int | None
    reclaimed: int | None
    alive: bool


@dataclass(frozen=True)
class Result:
    """The end: every call, and how each agent fared."""

    seconds: float
    host: str
    rows: Sequence[Row]
    totals: Sequence[Total]
    kind: Literal["result"] = "result"


@dataclass(frozen=True)
class Failed:
    """The demo cannot go on, and why."""

    text: str
    kind: Literal["failed"] = "failed"


Message = Now | Told | Result | Failed
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def encode(message: Message) -> bytes:
    """One line."""
    return _MESSAGE.dump_json(message) + b"\n"


def decode(line: bytes) -> Message:
    """Read one line; ValueError if it is none of ours."""
    return _MESSAGE.validate_json(line)
