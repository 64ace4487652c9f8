"""What the fake controller tells of what sessions used."""

from collections.abc import Sequence
from functools import cached_property

from agentcg.model.metered import Metered


class Meters:
    """A list that a test fills."""

    @cached_property
    def meters(self) -> list[Metered]:
        return []

    async def metered(self) -> Sequence[Metered]:
        return self.meters
