"""Sections of the configuration that have a file of their own, and what all sections share."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentcg.model.gpu import GuardKind
from agentcg.model.wire import Bytes, Count, Wait

KEEP = 50  # calls of a class


class Section(BaseModel):
    """What all sections share: a key that is not known is an error, not a comment."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Traces(Section):
    """What calls and sessions used, sampled and recorded.

    A call is read each 100 ms while it moves and each few seconds while it does not; in
    paths.state/traces there is a file a day.
    """

    enabled: bool = Field(True, description="record them")
    days: Annotated[Count, Field(ge=1, le=3650)] = Field(
        7, description="older ones are deleted; so are the oldest beyond"
    )
    size: Annotated[Bytes, Field(ge=16 << 20)] = Field(
        1 << 30, description="what all together may take on the disk; 16 MiB or more"
    )


class Metrics(Section):
    """The metrics that Prometheus reads."""

    sessions: Annotated[Count, Field(ge=0, le=1000)] = Field(
        100,
        description="sessions that have series of their own, some 20 each; what is opened beyond "
        'that is summed under session="other"',
    )


class Web(Section):
    """The web view, at http://127.0.0.1:<port>/ui; who may look is let in by agentcg ui.

    It only reads. Nothing but loopback is listened at.
    """

    enabled: bool = Field(False, description="serve it")
    port: Annotated[Count, Field(ge=0, le=65535)] = Field(
        0, description="of 127.0.0.1; 0: any that is free, which agentcg ui names"
    )


class GpuEngine(Section):
    """The inference engine on the same GPU, which makes room and gets it back."""

    kind: Literal["none", "kvcached"] = Field(
        "none", description="kvcached: an engine that shares its KV cache's limit by that library"
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,128}$")] = Field(
        "", description="of its shared memory, as IPC name of kvcached; needed with kvcached"
    )
    gpu: Annotated[str, Field(pattern=r"^[A-Za-z0-9/-]{1,80}$")] | None = Field(
        None,
        description="the UUID of its device, which `agentcg gpu` lists; needed where there are "
        "several, else the engine is not asked to make room; null: the only one",
    )
    users: tuple[Count, ...] = Field(
        (0,), description="uids that the shared memory may belong to: whoever owns it can lie"
    )
    poke: str | None = Field(
        None,
        description="the engine's API on loopback, such as http://127.0.0.1:8000, by which an "
        "idle one is made to look at its limit; null: it follows when it next has work",
    )
    floor: Annotated[Bytes, Field(ge=0)] = Field(
        1 << 30, description="of KV cache, which is left to it whatever is asked"
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.kind == "kvcached" and not self.name:
            raise ValueError("kind kvcached needs a name: that of the engine's shared memory")
        return self


class Gpu(Section):
    """GPU memory leased to calls; off, a call that asks for some is told so and runs."""

    enabled: bool = Field(False, description="lease it")
    reserve: Bytes | None = Field(
        None, description="of each device, leased to nobody; null: 2 %, and 1 GiB at the least"
    )
    guards: tuple[GuardKind, ...] = Field(
        (GuardKind.NONE, GuardKind.NVML, GuardKind.DEVICE, GuardKind.DRIVER),
        description="what may hold leases to their bytes; the strongest that works here does. "
        "uprobe has to be added by hand: it is experimental, and puts probes into every user of "
        "libcuda on the host, those without a lease included. So has shim, which programs load "
        "that are told to",
    )
    context: Annotated[Bytes, Field(ge=0)] = Field(
        512 << 20,
        description="what the shim charges each process for its CUDA context, which NVML counts; "
        "make gpu-check shows what it is",
    )
    require: GuardKind = Field(
        GuardKind.NONE, description="the weakest guard with which a lease is granted; none: any"
    )
    grace: Wait = Field(
        5.0, description="what a call has from gpu.revoke, or from passing its lease, to obey"
    )
    engine: GpuEngine = GpuEngine()
    imaginary: Annotated[Bytes, Field(gt=0)] | None = Field(
        None,
        description="where there is no GPU: lease the memory of one that is not there, to try the "
        "API; nothing runs on it",
    )


class Learned(Section):
    """A guarantee for calls that ask for none: what their class used before.

    The class is that of agentcg stats. It is the median of the peaks, and comes out of the
    session's budget for guarantees, of which half stays for those who declare. Needs traces, and
    store_commands redacted or full.
    """

    scope: Literal["none", "session", "host"] = Field(
        "session",
        description="learn from a session's own calls; or from those of all, and then each may "
        "see, and by its own calls move, what is learned for the others",
    )
    least: Annotated[Count, Field(ge=5, le=KEEP)] = Field(
        20, description="calls of a class before it counts"
    )
