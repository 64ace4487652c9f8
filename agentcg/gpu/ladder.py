"""Which guards work here, why others do not, and what holds a lease: the strongest that is allowed.

The device gate says who may open a GPU, the others how much of it one may use: where it works, it
stands beside each of them. So does the watchdog: a limit that is not asked, or that a process goes
around, shows in what the driver says is used; and the shim, by which programs that load it fail to
allocate before any of the others acts. NVML counts a process's CUDA context, hundreds of
MiB: a lease has to have room for it.
"""

import contextlib
from collections.abc import Collection, Mapping, Sequence

from agentcg.errors import AgentcgError
from agentcg.gpu.guard import GpuGuard
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GuardKind, Lease, LeaseId

_WEAKEST_FIRST = tuple(GuardKind)
_CLOSING = (
    GuardKind.DEVICE,
    GuardKind.UPROBE,
    GuardKind.NVML,
    GuardKind.SHIM,
    GuardKind.DRIVER,
)
_BY_BYTES = (GuardKind.DRIVER, GuardKind.UPROBE, GuardKind.NVML, GuardKind.SHIM)
_BESIDE = (GuardKind.NVML, GuardKind.SHIM)


class Together:
    """Guards that hold a lease as one; the last of them lets it begin."""

    def __init__(self, *parts: GpuGuard) -> None:
        """Its kind is that of the strongest."""
        self.parts = parts
        self._held: set[LeaseId] = set()
        self.kind = max((part.kind for part in parts), key=_WEAKEST_FIRST.index)

    def probe(self) -> str | None:
        """Why one of them cannot work here; None if all can."""
        return next((reason for part in self.parts if (reason := part.probe()) is not None), None)

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        """All of them, or none; a lease that was held before keeps what held it."""
        try:
            for part in self.parts:
                part.hold(lease, leaf)
        except AgentcgError:
            if lease.id not in self._held:
                with contextlib.suppress(AgentcgError):
                    self.release(lease, leaf)
            raise
        self._held.add(lease.id)

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        """Each, the last first, even where one before could not."""
        self._held.discard(lease.id)
        with contextlib.ExitStack() as stack:
            for part in self.parts:
                stack.callback(part.release, lease, leaf)

    def close(self) -> None:
        """Each, the last first."""
        with contextlib.ExitStack() as stack:
            for part in self.parts:
                stack.callback(part.close)


class Ladder:
    """The guards of this host, probed once."""

    def __init__(
        self, found: Mapping[GuardKind, GpuGuard | str], allowed: Collection[GuardKind]
    ) -> None:
        """Try each of `found`: a guard, or why there is none of its kind. It blocks."""
        self.reasons: dict[GuardKind, str] = {GuardKind.NONE: ""}  # empty: it works
        self._working: dict[GuardKind, GpuGuard] = {}
        for kind in _WEAKEST_FIRST[1:]:
            one = found.get(kind, "agentcg was started without it")
            if kind not in allowed:
                self.reasons[kind] = "not allowed: gpu.guards in the configuration leaves it out"
            elif isinstance(one, str):
                self.reasons[kind] = one
            else:
                self.reasons[kind] = one.probe() or ""
                if not self.reasons[kind]:
                    self._working[kind] = one
        self._rungs = _rungs(self._working)

    def guards(self, lease: Lease) -> Sequence[GpuGuard]:
        """What can hold the lease, strongest first; nothing where none works."""
        del lease  # on any device, so far
        return self._rungs

    @property
    def strongest(self) -> GuardKind:
        """What a lease is held by, if that takes it."""
        return next((one.kind for one in self._rungs), GuardKind.NONE)

    def working(self, kind: GuardKind) -> bool:
        """Whether leases may be held by it."""
        return kind in self._working

    def drop(self, kind: GuardKind, why: str) -> None:
        """Go on without one that does not do what its probe promised. It blocks."""
        self.reasons[kind] = why
        one = self._working.pop(kind)
        self._rungs = _rungs(self._working)
        with contextlib.suppress(AgentcgError):
            one.close()

    def close(self) -> None:
        """Each of those that work; first what outlives the daemon, last what may hang."""
        with contextlib.ExitStack() as stack:
            for kind in reversed(_CLOSING):
                if kind in self._working:
                    stack.callback(self._working[kind].close)


def _rungs(working: Mapping[GuardKind, GpuGuard]) -> Sequence[GpuGuard]:
    gate = [one for kind, one in working.items() if kind is GuardKind.DEVICE]
    by_bytes = [kind for kind in _BY_BYTES if kind in working]

    def together(kind: GuardKind) -> Together:
        weaker = by_bytes[by_bytes.index(kind) + 1 :]
        return Together(working[kind], *(working[one] for one in weaker if one in _BESIDE), *gate)

    return [together(kind) for kind in by_bytes] or gate
