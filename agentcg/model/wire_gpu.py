"""The bodies about leases of GPU memory and about programs of the inference engine."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from agentcg.model.gpu import ProgramPhase
from agentcg.model.wire import Body, Bytes, GpuBody, Name, Seconds, Wait


class LeaseBody(GpuBody):
    """GPU memory for a call that runs already."""

    call: Annotated[str, Field(max_length=63)] | None = Field(
        None, description="Whose it is; not needed in the call itself."
    )


class LeasePatchBody(Body):
    """Another size, or more time, for a lease. What is not named stays as it is."""

    memory: Annotated[Bytes, Field(gt=0)] | None = Field(
        None, description="What it is to have: more is granted or queued, less is given back."
    )
    extend: Seconds | None = Field(None, description="So much longer than now.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.memory is None and self.extend is None:
            raise ValueError("it changes nothing: give memory, extend, or both")
        return self


class ProgramBody(Body):
    """What an agent's program does: its engine is told which KV cache is soon of use."""

    session: Annotated[str, Field(max_length=63)] | None = Field(
        None, description="Whose it is; the caller's own without it."
    )
    event: ProgramPhase = Field(description="What began, or ended.")
    tool: Name | None = Field(None, description="The tool that it calls.")
    eta: Wait | None = Field(None, description="How long the tool is expected to take.")
    kv_bytes: Bytes | None = Field(None, description="Its context in the engine's KV cache.")
