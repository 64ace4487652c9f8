"""What holds a lease to its bytes. One guard a file; `gpu/ladder.py` probes them and picks."""

from typing import Protocol

from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GuardKind, Lease


class GpuGuard(Protocol):
    """A way to hold leases. Its methods block, in a thread, and may raise AgentcgError."""

    @property
    def kind(self) -> GuardKind:
        """Which it is."""
        ...

    def probe(self) -> str | None:
        """Why it cannot work here, by trying; None if it can."""
        ...

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        """Hold what runs in `leaf` to `lease.bytes`, from now on; again when the bytes change."""
        ...

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        """Take it back; also where the leaf has gone."""
        ...

    def close(self) -> None:
        """Leave the host as it was found."""
        ...
