"""Rules of the configuration: for commands, and for containers, that do not say themselves."""

from typing import Annotated

from pydantic import Field

from agentcg.model.intent import OnEnd
from agentcg.model.session import Undeclared
from agentcg.model.wire import (
    Body,
    BudgetBody,
    CpuBody,
    GpuBody,
    MemoryBody,
    Name,
    Pids,
    Priority,
    Seconds,
)


class CommandRule(Body):
    """An intent for commands that match; the first rule that does counts."""

    command: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="a glob that the whole command line matches, such as '*pytest*'"
    )
    memory: MemoryBody = MemoryBody()
    cpu: CpuBody = CpuBody()
    pids: Pids | None = Field(None, description="Processes and threads.")
    duration: Seconds | None = Field(None, description="How long it is expected to take.")
    deadline: Seconds | None = Field(None, description="Killed so long after its start.")
    priority: Priority | None = Field(None, description="At most the session's.")
    gpu: GpuBody | None = Field(None, description="GPU memory that it needs.")
    on_end: OnEnd = Field(
        OnEnd.KEEP, description="What outlives the main process: killed, or kept for a while."
    )


class DockerRule(Body):
    """A rule that takes up containers; the first that matches counts."""

    name: Name | None = Field(None, description="a glob that the container's name matches")
    image: Name | None = Field(None, description="a glob that its image's name matches")
    priority: Priority = Field(0, description="of the session")
    budget: BudgetBody = Field(BudgetBody(), description="of the session")
    undeclared: Undeclared = Field(Undeclared.CAP, description="of the session")
