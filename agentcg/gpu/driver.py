"""Guard by the driver's limits on a cgroup (R615 and newer): what is beyond fails to allocate.

The limit is on the leaf, before a process is in it, so that the driver tells a program the lease as
all the memory there is. Guaranteed and at most are the same: what is borrowed can be taken back by
ending the borrower. It is cleared before the leaf is removed, else what is above keeps the
guarantee as spent for good.
"""

import contextlib
import uuid
from collections.abc import Iterable
from pathlib import Path

from agentcg.errors import AgentcgError, BadValueError, CgroupError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.nvml import UNLIMITED, MemoryLimits, Nvml
from agentcg.model.gpu import GuardKind, Lease, LeaseId

_TRIED = MemoryLimits(1 << 28, 1 << 28)


class DriverLimits:
    """A GpuGuard."""

    kind = GuardKind.DRIVER

    def __init__(self, nvml: Nvml, root: CgroupDir) -> None:
        """`root` is where a cgroup is made for a moment, to try it on."""
        self._nvml = nvml
        self._root = root
        self._held: dict[LeaseId, tuple[str, Path]] = {}

    def probe(self) -> str | None:
        """Set a limit for each device on a cgroup of its own, and look whether it is there."""
        name = f"agentcg-probe-{uuid.uuid4().hex[:12]}"
        try:
            devices = [one.uuid for one in self._nvml.read()]
            if not devices:
                return "NVML tells of no GPU"
            with self._root.make(name) as scratch:
                reasons = [self._tried(gpu, scratch.path) for gpu in devices]
        except AgentcgError as error:
            return error.message
        finally:
            with contextlib.suppress(CgroupError):
                self._root.remove_child(name)
        return next((reason for reason in reasons if reason is not None), None)

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        """Limit the leaf on the lease's device."""
        if lease.gpu is None:
            raise BadValueError(f"lease {lease.id} names no GPU: it can be held once it is granted")
        self._nvml.set_limits(lease.gpu, leaf.path, MemoryLimits(lease.bytes, lease.bytes))
        self._held[lease.id] = (lease.gpu, leaf.path)

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        """Clear it; without a leaf the driver has nothing left to clear, or says so in vain."""
        held = self._held.pop(lease.id, None)
        if held is None:
            return
        try:
            self._nvml.set_limits(*held, UNLIMITED)
        except AgentcgError:
            if leaf.exists():
                self._held[lease.id] = held
                raise

    def sweep(self, leaves: Iterable[CgroupDir]) -> None:
        """Clear what an earlier daemon left on leaves that have no lease."""
        devices = [one.uuid for one in self._nvml.read()]
        for leaf in leaves:
            for gpu in devices:
                if self._nvml.limits(gpu, leaf.path) not in {None, UNLIMITED}:
                    self._nvml.set_limits(gpu, leaf.path, UNLIMITED)

    def close(self) -> None:
        """Clear all: nobody would, once their leaves are removed."""
        for held in list(self._held.values()):
            with contextlib.suppress(AgentcgError):
                self._nvml.set_limits(*held, UNLIMITED)
        self._held.clear()

    def _tried(self, gpu: str, scratch: Path) -> str | None:
        self._nvml.set_limits(gpu, scratch, _TRIED)
        try:
            found = self._nvml.limits(gpu, scratch)
        finally:
            self._nvml.set_limits(gpu, scratch, UNLIMITED)
        return None if found == _TRIED else f"{gpu}: the driver took a limit and shows {found}"
