"""Leases of GPU memory in the life of the daemon; what happens to them becomes events.

Where there is no driver every ask is denied with the reason, and the daemon runs all the same.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from agentcg import units
from agentcg.control import gpu_gates, gpu_host, gpu_left, lending
from agentcg.control.bounded import Bounded
from agentcg.control.core import Core
from agentcg.control.leasing import Leases, Parts
from agentcg.errors import AgentcgError
from agentcg.gpu.overuse import Act
from agentcg.gpu.watchdog import Finding
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import ABOUT, Kind
from agentcg.model.gpu import GpuNews, Lease
from agentcg.model.ids import CallId
from agentcg.model.outcome import Cause
from agentcg.model.view import Check
from agentcg.policy import lease_words as words
from agentcg.policy.ledger import Rules

log = logging.getLogger("agentcg")

# Seconds for the driver to tell what there is; to go on without it is better than to hang.
_LOOKING = 20.0
_LEAVING = 5.0
_ENDING = 1.0  # a call that has lost a process may go on, too

_KINDS: Mapping[GpuNews, Kind] = {
    GpuNews.QUEUED: Kind.GPU_QUEUED,
    GpuNews.GRANTED: Kind.GPU_GRANTED,
    GpuNews.DENIED: Kind.GPU_DENIED,
    GpuNews.REVOKED: Kind.GPU_REVOKE,
    GpuNews.OVER: Kind.GPU_PRESSURE,
    GpuNews.RELEASED: Kind.GPU_ENDED,
    GpuNews.ENGINE: Kind.GPU_ENGINE,
}
_DONE: Mapping[Act, str] = {
    Act.STOP: "stopped, and killed unless that changes",
    Act.RESUME: "within its lease again, so it goes on",
    Act.KILL: "killed",
}


async def start(core: Core) -> None:
    """Lease GPU memory, if that is wanted; the open calls are known by now."""
    settings = core.settings.gpu
    if settings.enabled:
        core.gpus = await _found(core)
    await gpu_left.clear(core)
    if core.gpus is None:
        return
    found = core.gpus
    leases = Leases(
        Parts(
            device=found.device,
            guards=gpu_host.strong_enough(found.ladder, settings.require),
            whose=partial(_whose, core),
            leaf=partial(_leaf, core),
            journal=core.journal,
            tell=partial(_tell, core),
            now=core.now,
            clock=core.clock,
            engine=found.engine,
            rules=Rules(
                reserve=settings.reserve, floor=settings.engine.floor, grace=settings.grace
            ),
            probed=found.ladder.reasons,
            engine_gpu=settings.engine.gpu,
        )
    )
    leased = [leaf.id for one in core.journal.open_leases() if (leaf := _leaf(core, one.call))]
    for kind, why in (await core.blocking(found.start, leased)).items():
        core.tell(Kind.DAEMON, f"GPU leases go without the guard {kind.value}: {why}")
    core.leases = leases  # before it takes up old ones: a call that ends meanwhile is to be told
    await leases.start()
    for live in list(core.state.calls.values()):
        lending.restarted(core, live)
    if found.watched is not None:
        core.spawn(gpu_gates.follow(core, found.watched))
    core.tell(Kind.DAEMON, f"GPU memory is leased; strongest guard: {found.ladder.strongest.value}")


async def stop(core: Core) -> None:
    """Stop leasing; leases stay in the journal for the next daemon."""
    leases, core.leases = core.leases, None
    if leases is None:
        return
    waiting = [one.closed.wait() for one in core.state.calls.values() if one.gpu_gates]
    await leases.close()
    # Who waits at libcuda's gate is denied by that, and killed: what its call died of is known now.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDING):
            await asyncio.gather(*waiting)


async def leave(core: Core) -> None:
    """Take the guards away, when all else is done: a driver may hang, and systemd kills us then."""
    if core.gpus is not None:
        try:
            await Bounded("taking the GPU's guards away").do(core.gpus.close, _LEAVING)
        except AgentcgError as e:
            log.warning("%s", e.message)


def checks(core: Core) -> tuple[Check, ...]:
    """Lines of doctor: which guards work here, and why others do not. Off is no fault."""
    if core.gpus is None:
        return ()
    engine = [Check("gpu.engine", works=False, detail=one) for one in core.gpus.warnings]
    return tuple(engine) + tuple(
        Check(f"gpu.{kind.value}", works=not why, detail=why or "it can hold leases")
        for kind, why in core.gpus.ladder.reasons.items()
        if kind.value != "none"
    )


async def _found(core: Core) -> gpu_host.Found:
    """What there is; nothing where the driver does not answer, which keeps nobody from starting."""
    loop = asyncio.get_running_loop()

    def hear(seen: Finding) -> None:
        loop.call_soon_threadsafe(_seen, core, seen)

    try:
        return await Bounded("the GPU's driver").do(partial(_find, core, hear), _LOOKING)
    except AgentcgError as e:
        core.tell(Kind.DAEMON, f"no GPU memory can be leased: {e.message}")
        return gpu_host.without(core.settings.gpu, e.message)


def _find(core: Core, hear: gpu_host.Hear) -> gpu_host.Found:
    pool = core.root.open_path(core.settings.cgroup.pool)
    folder = gpu_host.told(core.settings.paths.run)
    return gpu_host.find(core.settings.gpu, core.root, pool, core.now, hear, folder=folder)


def _whose(core: Core, pid: int) -> CallId | None:
    """The call that a process is in, by the host's pid. In a thread."""
    try:
        parts = procfs.cgroup_path(pid).strip("/").split("/")
    except AgentcgError:
        return None
    # A container may have made cgroups of such names below its own.
    for name in parts:
        live = core.state.calls.get(CallId(name))
        if live is None or live.leaf is None:
            continue
        own = f"{live.session.record.cgroup}/agentcg.calls/{name}".strip("/").split("/")
        if parts[: len(own)] == own:
            return live.record.id
    return None


def _leaf(core: Core, call: CallId) -> CgroupDir | None:
    live = core.state.calls.get(call)
    return None if live is None or live.closed.is_set() else live.leaf


def _tell(
    core: Core, news: GpuNews, lease: Lease | None, text: str, data: Mapping[str, int | float]
) -> None:
    kind, said = _KINDS[news], dict[str, str | int | float | None](data)
    if lease is not None:
        said |= {
            "lease": lease.id,
            "gpu": lease.gpu,
            "asked": lease.wish.memory,
            "bytes": lease.bytes,
            "used": lease.used,
            "guard": lease.guard.value,
            "eta": lease.eta,
        }
    core.tell(
        kind,
        text,
        session=None if lease is None else lease.session,
        call=None if lease is None else lease.call,
        data={name: said.get(name) for name in ABOUT[kind].data},
    )


def _why(core: Core, seen: Finding) -> str:
    known = {} if core.leases is None else {one.id: one for one in core.leases.view().leases}
    found = next((known[one] for one in seen.share.leases if one in known), None)
    return "" if found is None else words.killed(replace(found, used=seen.share.known))


def _seen(core: Core, seen: Finding) -> None:
    """What the watchdog did to a call."""
    _, live = core.state.place_of(seen.share.leaf)
    if live is None or (seen.act is Act.NONE and not seen.why):
        return
    has = units.format_bytes(seen.share.allowed)
    uses = f"it uses {units.format_bytes(seen.share.known)} of GPU memory and has {has} on lease"
    live.gpu_held = seen.act is Act.STOP or (live.gpu_held and seen.act is Act.NONE)
    if seen.act is Act.KILL:
        live.killed_for = live.killed_for or Cause.GPU
        live.gpu_kill = _why(core, seen) or f"Killed for GPU memory: {uses}."
    done = _DONE.get(seen.act, f"not stopped: {seen.why}")
    core.tell(
        Kind.GPU_PRESSURE,
        f"{uses}: {done}",
        session=live.record.session,
        call=live.record.id,
        data={
            "lease": next(iter(seen.share.leases), None),
            "bytes": seen.share.allowed,
            "used": seen.share.used,
        },
    )
