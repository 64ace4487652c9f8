"""The bodies that callers send: checked here and nowhere else.

Values are integers in base units or strings with units ("512MiB", "250ms", "2.5"). An unknown
field is an error, because a mistyped limit that is silently dropped is no limit.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from agentcg import units
from agentcg.errors import BadValueError
from agentcg.model.intent import CpuClass, CpuWish, Intent, MemoryWish, OnEnd, OnPressure
from agentcg.model.session import Budget, Undeclared


def _unit(parse: Any) -> BeforeValidator:  # noqa: ANN401 - any of the parsers in units
    def check(value: object) -> object:
        if value is None:
            return None
        try:
            return parse(value)
        except BadValueError as e:
            raise ValueError(str(e)) from e

    return BeforeValidator(check)


def _no_bool(value: object) -> object:
    # JSON's true would count as 1.
    if isinstance(value, bool):
        raise ValueError("write a number")  # noqa: TRY004 - pydantic takes ValueError alone
    return value


Count = Annotated[int, BeforeValidator(_no_bool)]
Bytes = Annotated[int, _unit(units.parse_bytes), Field(examples=["512MiB"])]
Seconds = Annotated[float, _unit(units.parse_duration), Field(gt=0, le=7 * 86400, examples=["90s"])]
Wait = Annotated[float, _unit(units.parse_duration), Field(ge=0, le=7 * 86400, examples=["2s"])]
Cores = Annotated[float, _unit(units.parse_cores), Field(gt=0, le=4096, examples=["2"])]
Weight = Annotated[Count, Field(ge=1, le=10000)]
Pids = Annotated[Count, Field(ge=2, le=4_194_304)]
Priority = Annotated[Count, Field(ge=-100, le=100)]
Name = Annotated[str, Field(max_length=128)]


class Body(BaseModel):
    """What all bodies share: unknown fields are refused, and `true` is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class MemoryBody(Body):
    """`guarantee` is never reclaimed for others, `limit` is where the call is killed."""

    guarantee: Bytes | None = None
    limit: Bytes | None = None


class CpuBody(Body):
    """CPU class, weight among the session's calls, and number of cores."""

    cpu_class: CpuClass = Field(default=CpuClass.NORMAL, alias="class")
    weight: Weight | None = None
    cores: Cores | None = None

    def wish_of(self, old: CpuWish) -> CpuWish:
        """The old wish with what is named here put in its place."""
        return CpuWish(
            self.cpu_class if "cpu_class" in self.model_fields_set else old.cpu_class,
            old.weight if self.weight is None else self.weight,
            old.cores if self.cores is None else self.cores,
        )


class CallBody(Body):
    """An intent. `place: peer` moves the connected process into the call before answering."""

    tool: Name = "shell"
    command: Annotated[str, Field(max_length=32768)] | None = None
    call_id: Annotated[str, Field(max_length=128, min_length=1)] | None = None
    memory: MemoryBody = MemoryBody()
    cpu: CpuBody = CpuBody()
    pids: Pids | None = None
    io_weight: Weight | None = None
    duration: Seconds | None = None
    deadline: Seconds | None = None
    priority: Priority | None = None
    on_pressure: OnPressure = OnPressure.THROTTLE
    on_end: OnEnd = OnEnd.KEEP
    place: Literal["peer"] | None = None

    def intent(self) -> Intent:
        """Make the frozen intent that the deciding code works on."""
        return Intent(
            tool=self.tool,
            command=self.command,
            key=self.call_id,
            memory=MemoryWish(self.memory.guarantee, self.memory.limit),
            cpu=CpuWish(self.cpu.cpu_class, self.cpu.weight, self.cpu.cores),
            pids=self.pids,
            io_weight=self.io_weight,
            duration=self.duration,
            deadline=self.deadline,
            priority=self.priority,
            on_pressure=self.on_pressure,
            on_end=self.on_end,
        )


class CallPatchBody(Body):
    """More, or less, for a call that is open. What is not named stays as it is."""

    memory: MemoryBody = MemoryBody()
    cpu: CpuBody | None = None
    pids: Pids | None = None
    deadline: Seconds | None = None

    def intent_of(self, old: Intent) -> Intent:
        """The old intent with what is named here put in its place."""
        memory = MemoryWish(
            old.memory.guarantee if self.memory.guarantee is None else self.memory.guarantee,
            old.memory.limit if self.memory.limit is None else self.memory.limit,
        )
        return replace(
            old,
            memory=memory,
            cpu=old.cpu if self.cpu is None else self.cpu.wish_of(old.cpu),
            pids=old.pids if self.pids is None else self.pids,
            deadline=old.deadline if self.deadline is None else self.deadline,
        )


class EndBody(Body):
    """The harness says that the call is over, and how."""

    exit_code: Annotated[Count, Field(ge=0, le=255)] | None = None


class BudgetBody(Body):
    """The most that a session may use or ask for."""

    memory: Bytes | None = None
    guarantee: Bytes | None = None
    pids: Pids | None = None
    calls: Annotated[Count, Field(ge=1, le=256)] = 256

    def budget(self) -> Budget:
        """Make the frozen budget that the deciding code works on."""
        return Budget(self.memory, self.guarantee, self.pids, self.calls)


class SessionBody(Body):
    """What to take charge of: a container, the process tree of a pid, or the caller's own."""

    runtime: Literal["docker", "scope", "bare", "self"]
    id: Annotated[str, Field(max_length=63)] | None = None
    name: Name = ""
    container: Annotated[str, Field(max_length=128)] | None = None
    pid: Annotated[Count, Field(ge=1, le=4_194_304)] | None = None
    priority: Priority = 0
    budget: BudgetBody = BudgetBody()
    undeclared: Undeclared = Undeclared.CAP
