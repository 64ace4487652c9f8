"""What tells of the GPUs of this host: their driver, or a fake of one."""

from typing import Protocol

from agentcg.model.gpu import GpuReading


class DeviceReader(Protocol):
    """Reads every GPU; it blocks, in a thread, and may raise AgentcgError."""

    def read(self) -> tuple[GpuReading, ...]:
        """One reading a device; none where there is no GPU."""
        ...
