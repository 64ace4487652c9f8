"""What an earlier daemon did for leases, and this one does not go on with, is undone at its start.

A daemon that was killed leaves it: the device gate's pin, calls that wait at libcuda's gate,
limits in the driver, what the shim's programs were told, an engine that keeps to less.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from agentcg import units
from agentcg.control import gpu_gates, gpu_host, lease_engine
from agentcg.control.bounded import Bounded
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.errors import AgentcgError, UnsupportedError
from agentcg.gpu import gates, shim
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import Kind
from agentcg.model.gpu import EngineLimit, GuardKind, Lease

_WITHIN = 10.0
_DIED = "the daemon died while it waited"
_Stopped = tuple[LiveCall, CgroupDir, tuple[int, ...]]  # and who waits at its gate
T = TypeVar("T")


async def clear(core: Core) -> None:
    """Undo what is not gone on with. `core.gpus` is what there is; None: nothing is leased."""
    leases = core.journal.open_leases()
    limited = {one.call for one in leases if one.guard is GuardKind.DRIVER}
    steps: list[Callable[[], Awaitable[None]]] = [partial(_stopped, core, leases)]
    if core.host.has("bpf") and not _works(core, GuardKind.DEVICE):
        steps.append(partial(_in_thread, _gate))
    if limited and not _works(core, GuardKind.DRIVER):
        calls = [core.state.calls[one] for one in limited if one in core.state.calls]
        those = [live.leaf for live in calls if live.leaf is not None]
        steps.append(partial(_in_thread, partial(_limits, core, those)))
    folder = gpu_host.told(core.settings.paths.run)
    if folder.is_dir() and not _works(core, GuardKind.SHIM):
        steps.append(partial(_in_thread, partial(shim.clear, folder)))
    told = core.journal.limit()
    if (core.gpus is None or core.gpus.engine is None) and told and told.limit < told.was:
        steps.append(partial(_give_back, core, told))
    for step in steps:
        try:
            await step()
        except AgentcgError as e:
            core.tell(Kind.DAEMON, f"an earlier daemon's GPU leases are not undone: {e.message}")
    if core.gpus is None and leases:
        for one in leases:
            core.journal.drop_lease(one)
        core.tell(Kind.DAEMON, f"{len(leases)} leases of GPU memory end: gpu.enabled is off")


async def _in_thread(step: Callable[[], T]) -> T:
    return await Bounded("what an earlier daemon left of GPU leases").do(step, _WITHIN)


def _works(core: Core, kind: GuardKind) -> bool:
    return core.gpus is not None and core.gpus.ladder.working(kind)


def _gate() -> None:
    """Nobody would let anybody through: below the pool no GPU could be opened until a reboot."""
    # Imported late: hosts without it should not pay for ctypes and libbpf.
    from agentcg.gpu.device_gate import SET
    from agentcg.kernel.bpffs import Pins

    try:
        pins = Pins()
    except UnsupportedError:
        return
    pins.remove(SET)


async def _stopped(core: Core, leases: Iterable[Lease]) -> None:
    """Let go on what was stopped, and kill who waits at libcuda's gate, which is told first."""
    calls = [(one, one.leaf) for one in core.state.calls.values() if one.leaf is not None]
    by_call = {one.call: one for one in leases}
    found = await _in_thread(partial(_waiting, calls))
    for live, _, pids in found:
        lease = by_call.get(live.record.id)
        if lease is not None and pids:
            main = live.record.pid in pids or 0 in pids
            gpu_gates.denied(core, live, replace(lease, used=None), _DIED, main=main)
    await _in_thread(partial(_recover, [leaf for _, leaf, _ in found]))


def _waiting(calls: Iterable[tuple[LiveCall, CgroupDir]]) -> list[_Stopped]:
    found = []
    for live, leaf in calls:
        with suppress(OSError, AgentcgError):
            found.append((live, leaf, gates.waiting(leaf)))
    return found


def _recover(leaves: Iterable[CgroupDir]) -> None:
    for leaf in leaves:
        gates.recover(leaf)


def _limits(core: Core, leaves: Iterable[CgroupDir]) -> None:
    limits = None if core.gpus is None else core.gpus.limits
    if limits is None:
        from agentcg.gpu.driver import DriverLimits
        from agentcg.kernel.nvml import Nvml

        limits = DriverLimits(Nvml.open(), core.root)
    limits.sweep(leaves)


async def _give_back(core: Core, told: EngineLimit) -> None:
    engine = gpu_host.engine_of(core.settings.gpu)
    if engine is None:
        raise UnsupportedError(
            f"the inference engine keeps to {units.format_bytes(told.limit)} of KV cache, and had "
            f"{units.format_bytes(told.was)}: gpu.engine is none now, so set it there by hand"
        )
    await lease_engine.give_back(engine, core.journal, told, Bounded("the inference engine"))
