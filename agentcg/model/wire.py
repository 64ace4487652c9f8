"""The bodies that callers send: checked here and nowhere else.

Values are integers in base units or strings with units ("512MiB", "250ms", "2.5"). An unknown
field is an error, because a mistyped limit that is silently dropped is no limit.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agentcg import units
from agentcg.errors import BadValueError
from agentcg.model.gpu import GpuWish, OnDeny, ProgramId
from agentcg.model.intent import CpuClass, CpuWish, Intent, MemoryWish, OnEnd, OnPressure
from agentcg.model.parent import parent
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
GpuUuid = Annotated[str, Field(pattern=r"^[A-Za-z0-9/-]{1,80}$", examples=["GPU-8f6c1d2e"])]
ProgramName = Annotated[str, Field(pattern=r"^[!-.0-~]{1,128}$", examples=["p-17"])]


class Body(BaseModel):
    """What all bodies share: unknown fields are refused, and `true` is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class MemoryBody(Body):
    """`guarantee` is never reclaimed for others, `limit` is where the call is killed."""

    guarantee: Bytes | None = Field(
        None, description="Memory that is never reclaimed for others, within the session's budget."
    )
    limit: Bytes | None = Field(None, description="Memory at which the call is killed.")


class CpuBody(Body):
    """CPU class, weight among the session's calls, and number of cores."""

    cpu_class: CpuClass = Field(
        default=CpuClass.NORMAL,
        alias="class",
        description="Share of CPU inside the session: weight 300, 100 or 30, "
        "twice that for every 50 of priority.",
    )
    weight: Weight | None = Field(None, description="The same as a number; wins over the class.")
    cores: Cores | None = Field(
        None,
        description="Bound to so many CPUs, rounded up; tools are told by MAKEFLAGS and the like.",
    )

    def wish_of(self, old: CpuWish) -> CpuWish:
        """The old wish with what is named here put in its place."""
        return CpuWish(
            self.cpu_class if "cpu_class" in self.model_fields_set else old.cpu_class,
            old.weight if self.weight is None else self.weight,
            old.cores if self.cores is None else self.cores,
        )


class GpuBody(Body):
    """GPU memory, leased for as long as the call runs, or for `duration`."""

    memory: Annotated[Bytes, Field(gt=0)] = Field(description="What is wanted.")
    min: Annotated[Bytes, Field(gt=0)] | None = Field(
        None, description="The least that is of use; without it all or nothing."
    )
    gpu: GpuUuid | None = Field(None, description="A device's UUID; any device without it.")
    duration: Seconds | None = Field(
        None, description="The lease ends after that; without it with the call."
    )
    wait: Wait = Field(0.0, description="How long it may queue; 0: granted now, or denied.")
    preemptible: bool = Field(
        False, description="May be revoked, with grace, for a call of higher priority."
    )
    on_deny: OnDeny = Field(
        OnDeny.FAIL,
        description="Without a lease: `acg run` does not run the command, or it runs and sees "
        "no GPU (`cpu`).",
    )
    program: ProgramName | None = Field(
        None, description="The engine's program that this is a tool call of."
    )

    def wish(self) -> GpuWish:
        """Make the frozen wish that the deciding code works on."""
        return GpuWish(
            memory=self.memory,
            least=self.min,
            gpu=self.gpu,
            duration=self.duration,
            wait=self.wait,
            preemptible=self.preemptible,
            on_deny=self.on_deny,
            program=None if self.program is None else ProgramId(self.program),
        )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.min > self.memory:
            least, memory = units.format_bytes(self.min), units.format_bytes(self.memory)
            raise ValueError(f"min {least} is above memory {memory}: ask for a min below it")
        return self


class CallBody(Body):
    """An intent. `place: peer` moves the connected process into the call before answering."""

    tool: Name = Field("shell", description="The tool's name, for people and events.")
    command: Annotated[str, Field(max_length=32768)] | None = Field(
        None, description="The command line; what is kept of it, the configuration says."
    )
    call_id: Annotated[str, Field(max_length=128, min_length=1)] | None = Field(
        None, description="The harness's own id: declared again, it gives the same open call."
    )
    memory: MemoryBody = MemoryBody()
    cpu: CpuBody = CpuBody()
    pids: Pids | None = Field(None, description="Processes and threads.")
    io_weight: Weight | None = Field(
        None, description="Share of I/O inside the session, where the host can enforce it."
    )
    duration: Seconds | None = Field(
        None, description="How long it is expected to take; kept with the call, not enforced."
    )
    deadline: Seconds | None = Field(None, description="Killed so long after its start.")
    priority: Priority | None = Field(
        None, description="At most the session's, which is the default."
    )
    on_pressure: OnPressure = Field(
        OnPressure.THROTTLE,
        description="When the pool has no room for it: wait, be frozen until there is, or be "
        "killed. A preference: where nobody can go on, one is killed.",
    )
    on_end: OnEnd = Field(
        OnEnd.KEEP,
        description="What outlives the main process: killed after 2 s, or kept for up to 30 min.",
    )
    gpu: GpuBody | None = Field(
        None, description="GPU memory that it needs; a lease is part of its grant."
    )
    traceparent: str | None = Field(
        None, description="The span that it belongs to (W3C TRACEPARENT), for OpenTelemetry."
    )
    place: Literal["peer"] | None = Field(
        None, description="Move the connected process into the call before answering."
    )

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
            traceparent=parent(self.traceparent),
            gpu=None if self.gpu is None else self.gpu.wish(),
        )


class CallPatchBody(Body):
    """More, or less, for a call that is open. What is not named stays as it is."""

    memory: MemoryBody = MemoryBody()
    cpu: CpuBody | None = None
    pids: Pids | None = Field(None, description="Processes and threads.")
    deadline: Seconds | None = Field(None, description="Killed so long after its start.")

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

    exit_code: Annotated[Count, Field(ge=0, le=255)] | None = Field(
        None, description="Its exit code, if the harness knows it."
    )


class BudgetBody(Body):
    """The most that a session may use or ask for."""

    memory: Bytes | None = Field(None, description="of the session; null: what its cgroup allows")
    guarantee: Bytes | None = Field(
        None, description="that its calls may be guaranteed together; null: none"
    )
    pids: Pids | None = Field(None, description="processes and threads; null: no bound")
    calls: Annotated[Count, Field(ge=1, le=256)] = Field(256, description="open calls")

    def budget(self) -> Budget:
        """Make the frozen budget that the deciding code works on."""
        return Budget(self.memory, self.guarantee, self.pids, self.calls)


class SessionBody(Body):
    """What to take charge of: a container, the process tree of a pid, or the caller's own."""

    runtime: Literal["docker", "scope", "bare", "self"] = Field(
        description="A container, a systemd scope, a cgroup of ours, or one for the caller itself."
    )
    id: Annotated[str, Field(max_length=63)] | None = Field(
        None, description="Letters, digits, '_' and '-'; made up if not given."
    )
    name: Name = Field("", description="For people.")
    container: Annotated[str, Field(max_length=128)] | None = Field(
        None, description="docker: its id or name."
    )
    pid: Annotated[Count, Field(ge=1, le=4_194_304)] | None = Field(
        None, description="scope, bare: the process tree to take in."
    )
    priority: Priority = Field(0, description="The highest that its calls may have.")
    budget: BudgetBody = BudgetBody()
    undeclared: Undeclared = Field(
        Undeclared.CAP,
        description="What holds for work outside any call. `place`: what is started undeclared "
        "is moved into a call of its own once it runs.",
    )
