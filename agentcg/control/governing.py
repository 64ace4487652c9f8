"""The governor in the life of the daemon and its calls; without one nothing here does a thing.

It is loaded only where the configuration asks for it: its scheduler is the whole host's.
"""

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from agentcg.control import escalating
from agentcg.control import pool as pools
from agentcg.control.core import Core
from agentcg.errors import AgentcgError, UnsupportedError
from agentcg.model.event import Kind
from agentcg.model.host import Mechanism
from agentcg.telemetry import counters

if TYPE_CHECKING:
    from agentcg.enforce.governor import Governor

_NEEDS = ("bpf.tripwire", "bpf.cgroup_storage", "bpf.ringbuf", "bpf.task_work", "sched_ext")
_BEAT = 1.0
_PARTIAL = (
    "attached in partial mode: it has what is placed in calls, as long as that does not leave"
)
# Slots for held threads: of a pool with a limit of processes as many as that, within these.
_FEWEST, _UNKNOWN, _MOST = 1024, 16384, 65536


async def start(core: Core) -> None:
    """Attach the governor if it is wanted and can be; take away one that is not wanted any more."""
    wanted = _wanted(core)
    needs = (*_NEEDS, "sched_ext.server") if core.settings.governor.partial else _NEEDS
    missing = [name for name in needs if not core.host.has(name)]
    if wanted and missing:
        why = "; ".join(f"{name}: {core.host.why_not(name)}" for name in missing)
        _say(core, why)
        core.tell(Kind.DAEMON, f"the governor is not loaded: {why}")
        return
    if not wanted and not core.host.has("bpf"):
        return
    try:
        core.governor = await core.blocking(_start, core)
    except AgentcgError as e:
        _say(core, e.message)
        core.tell(Kind.DAEMON, f"the governor is not loaded: {e.message}")
        return
    if core.governor is not None:
        _say(core)
        if core.governor.gap is not None:
            core.tell(
                Kind.DAEMON,
                "another version of the governor was replaced, with a gap of "
                f"{core.governor.gap * 1000:.0f} ms",
            )
        with contextlib.suppress(AgentcgError):  # a pool that is not there yet is looked for again
            await core.blocking(_refresh, core, core.governor)
        core.spawn(_follow(core, core.governor))
        mode = ", in partial mode" if core.governor.partial else ""
        core.tell(Kind.DAEMON, f"the governor holds memory bursts up (tier T1{mode})")


def _wanted(core: Core) -> bool:
    return core.settings.governor.enabled and core.settings.governor.bpf


def _start(core: Core) -> "Governor | None":
    # Imported late: hosts without it should not pay for ctypes and libbpf.
    from agentcg.enforce.governor import SET, Governor, Rules
    from agentcg.kernel.bpffs import Pins

    settings = core.settings.governor
    try:
        pins = Pins()
    except UnsupportedError:
        if _wanted(core):
            raise
        return None
    if not _wanted(core):
        pins.remove(SET)
        return None
    rules = Rules(
        dead_man=settings.dead_man,
        max_delay=settings.max_delay,
        burst=settings.burst,
        refill=settings.refill,
        slots=settings.slots,
        threads=_threads(core),
        partial=settings.partial,
    )
    log = core.settings.paths.state / "verifier.log"
    return Governor.start(pins, rules, now=time.monotonic(), log=log)


async def _follow(core: Core, governor: "Governor") -> None:
    """Beat its heart, keep the pool's size right and hear its events, until it is gone."""
    loop = asyncio.get_running_loop()
    with governor.listen(lambda record: _heard(core, record)) as ring:
        loop.add_reader(ring.fd, ring.consume)
        try:
            while True:
                await asyncio.sleep(_BEAT)
                if core.governor is not governor:
                    return
                if not governor.alive():
                    break
                with contextlib.suppress(AgentcgError):
                    governor.beat(time.monotonic())
                    slack = await core.blocking(_refresh, core, governor)
                    escalating.look(core, slack=slack)
        finally:
            loop.remove_reader(ring.fd)
    core.governor = None
    core.stir()  # memory.high is no backstop any more
    await escalating.let_go(core)
    why = await core.blocking(governor.farewell)
    _say(core, f"the kernel ejected its scheduler: {why}")
    core.tell(
        Kind.DAEMON,
        f"the kernel ejected the governor's scheduler ({why}), native limits rule (tier T0): "
        "restart agentcg to try again",
    )
    await core.blocking(governor.stop)


async def stop(core: Core) -> None:
    """Detach it: native limits, which were written all along, take over."""
    governor, core.governor = core.governor, None
    if governor is not None:
        await escalating.let_go(core)
        await core.blocking(governor.stop)


def _say(core: Core, why_not: str = "") -> None:
    """Have doctor show whether it is attached, in which mode, and why it is not."""
    how = _PARTIAL if core.settings.governor.partial else "attached"
    found = Mechanism("governor", works=not why_not, detail=why_not or how)
    core.host = replace(core.host, mechanisms={**core.host.mechanisms, found.name: found})


def _refresh(core: Core, governor: "Governor") -> bool:
    """Tell it the pool's size; whether the pool has slack."""
    settings = core.settings.governor
    with core.root.open_path(core.settings.cgroup.pool) as pool:
        size, _ = pools.size_of(core, pool)
        governor.pool(pool, size, slack=settings.slack, band=settings.band)
        return (counters.integer(pool, "memory.current") or 0) < settings.slack * size


def _threads(core: Core) -> int:
    """How many threads the pool can have, within what the slots for them may cost: 8 MiB."""
    with contextlib.suppress(AgentcgError), core.root.open_path(core.settings.cgroup.pool) as pool:
        limit = counters.integer(pool, "pids.max")
        if limit is not None:
            # Others than the pool's may be held too, for their cpu.max.
            return min(max(limit, _FEWEST) + _UNKNOWN, _MOST)
    return _UNKNOWN


def _heard(core: Core, record: bytes) -> None:
    from agentcg.kernel.bpf_records import EVENT_STUCK, PAGE, SECOND, EventRecord

    event = EventRecord.from_buffer_copy(record)
    session, call = core.state.place_of(event.call)
    if session is None:
        return
    delay = event.delay / SECOND
    core.tell(
        Kind.AGENT_THROTTLED if call is None else Kind.CALL_THROTTLED,
        f"its memory grows slower, by {delay:.3g} s a batch: the pool is tight",
        session=session.record.id,
        call=None if call is None else call.record.id,
        data={"memory": event.usage * PAGE, "room": event.room * PAGE, "delay": delay},
    )
    if event.kind == EVENT_STUCK:
        escalating.report(core, call)
