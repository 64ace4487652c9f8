"""Sections of the configuration that have a file of their own, and what all sections share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentcg.model.wire import Bytes, Count

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
