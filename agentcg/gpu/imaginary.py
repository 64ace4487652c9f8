"""A GPU that is not there, by which the API can be tried where there is none."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from agentcg.model.gpu import GpuReading


@dataclass(frozen=True, slots=True)
class Imaginary:
    """A DeviceReader of one device, which nobody can use, and so is always free."""

    total: int
    now: Callable[[], float] = time.time

    def read(self) -> tuple[GpuReading, ...]:
        """The same each time."""
        return (
            GpuReading(
                uuid="GPU-imaginary",
                name="imaginary: gpu.imaginary in the configuration",
                total=self.total,
                used=0,
                free=self.total,
                processes=(),
                at=self.now(),
            ),
        )
