"""The governor in the life of the daemon and its calls; without one nothing here does a thing.

It is loaded only where the configuration asks for it: its scheduler is the whole host's.
"""

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.errors import AgentcgError, UnsupportedError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import Kind
from agentcg.model.grant import ENFORCED, Grant
from agentcg.model.host import Mechanism
from agentcg.policy.guarantees import within
from agentcg.telemetry import counters

if TYPE_CHECKING:
    from agentcg.enforce.governor import Governor

NEEDS = ("bpf.tripwire", "bpf.cgroup_storage", "bpf.ringbuf", "bpf.task_work", "sched_ext")
KNOB = "memory.throttle"
_BEAT = 1.0


async def start(core: Core) -> None:
    """Attach the governor if it is wanted and can be; take away one that is not wanted any more."""
    wanted = core.settings.governor.enabled
    missing = [name for name in NEEDS if not core.host.has(name)]
    if wanted and missing:
        why = "; ".join(f"{name}: {core.host.why_not(name)}" for name in missing)
        core.tell(Kind.DAEMON, f"the governor is not loaded: {why}")
        return
    if not wanted and not core.host.has("bpf"):
        return
    try:
        core.governor = await core.blocking(_start, core)
    except AgentcgError as e:
        core.tell(Kind.DAEMON, f"the governor is not loaded: {e.message}")
        return
    if core.governor is not None:
        why = "the governor's scheduler does not honour it yet"
        _say_cpu_max(core, Mechanism("cpu.max", works=False, detail=why))
        with contextlib.suppress(AgentcgError):  # a pool that is not there yet is looked for again
            await core.blocking(_refresh, core, core.governor)
        core.spawn(_follow(core, core.governor))
        core.tell(Kind.DAEMON, "the governor holds memory bursts up (tier T1)")


def _start(core: Core) -> "Governor | None":
    # Imported late: hosts without it should not pay for ctypes and libbpf.
    from agentcg.enforce.governor import SET, Governor, Rules
    from agentcg.kernel.bpffs import Pins

    settings = core.settings.governor
    try:
        pins = Pins()
    except UnsupportedError:
        if settings.enabled:
            raise
        return None
    if not settings.enabled:
        pins.remove(SET)
        return None
    rules = Rules(
        dead_man=settings.dead_man,
        max_delay=settings.max_delay,
        burst=settings.burst,
        refill=settings.refill,
        slots=settings.slots,
    )
    log = core.settings.paths.state / "verifier.log"
    return Governor.start(pins, rules, now=time.monotonic(), log=log)


async def _follow(core: Core, governor: "Governor") -> None:
    """Beat its heart, keep the pool's size right and hear its events, until it is gone."""
    loop = asyncio.get_running_loop()
    with governor.listen(lambda record: _throttled(core, record)) as ring:
        loop.add_reader(ring.fd, ring.consume)
        try:
            while True:
                await asyncio.sleep(_BEAT)
                if core.governor is not governor:
                    return
                if not governor.alive():
                    break
                governor.beat(time.monotonic())
                with contextlib.suppress(AgentcgError):
                    await core.blocking(_refresh, core, governor)
        finally:
            loop.remove_reader(ring.fd)
    core.governor = None
    _say_cpu_max(core, replace(core.host.mechanisms["cpu"], name="cpu.max"))
    core.tell(
        Kind.DAEMON,
        "the kernel ejected the governor's scheduler, native limits rule (tier T0): see the "
        "kernel's log for its reason, and restart agentcg to try again",
    )
    await core.blocking(governor.stop)


async def stop(core: Core) -> None:
    """Detach it: native limits, which were written all along, take over."""
    governor, core.governor = core.governor, None
    if governor is not None:
        await core.blocking(governor.stop)


def govern(core: Core, session: LiveSession, leaf: CgroupDir, grant: Grant) -> dict[str, str]:
    """Put a call's leaf under its grant; what to say of that in `enforced`."""
    governor, pool = core.governor, core.settings.cgroup.pool
    if governor is None:
        return {}
    if not within(session.record.cgroup, pool):
        return {KNOB: f"unsupported: its session is not below {pool}"}
    levels = len(leaf.path.relative_to(core.root.path / pool).parts)
    try:
        with core.root.open_path(pool) as shared:
            governor.govern(
                leaf,
                shared,
                levels,
                guarantee=grant.memory_guarantee,
                priority=grant.priority,
            )
    except AgentcgError as e:
        return {KNOB: f"unsupported: {e.message}"}
    return {KNOB: ENFORCED}


def _say_cpu_max(core: Core, found: Mechanism) -> None:
    core.host = replace(core.host, mechanisms={**core.host.mechanisms, found.name: found})


def _refresh(core: Core, governor: "Governor") -> None:
    settings = core.settings.governor
    with core.root.open_path(core.settings.cgroup.pool) as pool:
        limit = counters.integer(pool, "memory.max")
        whole = core.host.memory_total if limit is None else limit
        # The kernel takes back the page cache of its own accord, so it is no use of the pool.
        size = int(settings.share * whole) + counters.clean_cache(pool)
        governor.pool(pool, size, slack=settings.slack, band=settings.band)


def _throttled(core: Core, record: bytes) -> None:
    from agentcg.kernel.bpf_records import PAGE, SECOND, ThrottledEvent

    event = ThrottledEvent.from_buffer_copy(record)
    _, call = core.state.place_of(event.call)
    if call is None:
        return
    delay = event.delay / SECOND
    core.tell(
        Kind.CALL_THROTTLED,
        f"its memory grows slower, by {delay:.3g} s a batch: the pool is tight",
        session=call.record.session,
        call=call.record.id,
        data={"memory": event.usage * PAGE, "room": event.room * PAGE, "delay": delay},
    )
