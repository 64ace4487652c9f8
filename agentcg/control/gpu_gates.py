"""Calls that stand at libcuda's gate, as they would take more than their lease has.

Up to what a call asked for in the first place its lease is raised, where there is room by now;
beyond that, or without room, the process is killed, and told why.
"""

import asyncio
import contextlib
import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from agentcg import units
from agentcg.control.core import Core
from agentcg.control.gpu_host import GATE
from agentcg.control.lease_book import BusyError
from agentcg.control.state import LiveCall
from agentcg.errors import AgentcgError, NotFoundError, ProcessGoneError
from agentcg.kernel import pidfd
from agentcg.model.event import Kind
from agentcg.model.gpu import Lease
from agentcg.model.ids import LeaseId
from agentcg.model.outcome import Cause
from agentcg.policy import lease_words as words

if TYPE_CHECKING:
    from agentcg.gpu.gates import Gate
    from agentcg.gpu.uprobe import UprobeGuard

log = logging.getLogger(__name__)

_EVERY = 1.0
_DYING = 2.0
_LAST = 1.0  # for who was in line until its time was over: one that is killed makes room
_LOST = "it could not be counted, or not before it was taken"
_BUSY = 0.2  # seconds until a lease that is just being changed is asked for anew


async def follow(core: Core, guard: "UprobeGuard") -> None:
    """Answer who stands there, and look for copies of the library, until cancelled."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    turns: weakref.WeakValueDictionary[LeaseId, asyncio.Lock] = weakref.WeakValueDictionary()

    def heard() -> None:
        # Its turn may have to wait: until then it would be readable without end.
        loop.remove_reader(guard.fd)
        news.set()

    scanned = loop.time()
    try:
        while True:
            loop.add_reader(guard.fd, heard)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(scanned + _EVERY):
                    await news.wait()
            try:
                # Cleared before it is read: what comes meanwhile sets it anew.
                news.clear()
                came = await core.blocking(guard.turn, time.monotonic())
            except Exception:
                # Who stands there waits for the next turn: without any it would wait for good.
                log.exception("libcuda's gate: a turn failed; the daemon goes on")
                await asyncio.sleep(_EVERY)
                continue
            for gate in came:
                # Each counts on what the lease has, so one after another.
                turn = turns.setdefault(next(iter(gate.leases), LeaseId("")), asyncio.Lock())
                core.spawn(_answer(core, guard, gate, turn))
            if loop.time() >= scanned + _EVERY:  # news without end or not
                await _scanned(core, guard)
                scanned = loop.time()
    finally:
        loop.remove_reader(guard.fd)


async def _scanned(core: Core, guard: "UprobeGuard") -> None:
    try:
        await core.blocking(guard.scan)
    except Exception:
        log.exception("copies of libcuda were not looked for; the daemon goes on")


async def _answer(core: Core, guard: "UprobeGuard", gate: "Gate", turn: asyncio.Lock) -> None:
    leases = _leases(core, gate)
    live = core.state.calls.get(leases[0].call) if leases else None
    if live is None:
        await core.blocking(guard.deny, gate)
        return
    live.gpu_gates += 1
    try:
        # Who is killed already waits for nobody: its call may be ending.
        async with contextlib.nullcontext() if gate.killed else turn:
            await _decide(core, guard, gate, live, leases)
    finally:
        live.gpu_gates -= 1


async def _decide(
    core: Core, guard: "UprobeGuard", gate: "Gate", live: LiveCall, leases: Sequence[Lease]
) -> None:
    if gate.killed:
        why = "it went on without leave"
        if gate.late or gate.lost:
            why = "nobody answered in time" if gate.late else _LOST
    else:
        try:
            async with asyncio.timeout(max(_LAST, gate.at + GATE - time.monotonic())):
                why = await _raised(core, guard, gate, live)
        except TimeoutError:
            why = f"there was no room within {GATE:g} s"
        if not why:
            return
    leases = _leases(core, gate) or leases  # as they were, where they have ended
    has = sum(one.bytes for one in leases)
    all_of_it = replace(leases[0], bytes=has, used=await _needs(core, guard, gate, live))
    tell = partial(denied, core, live, all_of_it, why, main=gate.pid == live.record.pid)
    if gate.killed:
        tell()
        return
    # Told before its end is known, and only if it still waits.
    loop = asyncio.get_running_loop()
    await _kill(core, guard, gate, partial(loop.call_soon_threadsafe, tell))


async def _kill(core: Core, guard: "UprobeGuard", gate: "Gate", told: Callable[[], object]) -> None:
    """Return when it has ended, or soon: what it had may be enough for who is next."""
    with contextlib.ExitStack() as stack:
        fd = None
        with contextlib.suppress(ProcessGoneError):  # or it has no number here
            fd = pidfd.open(gate.pid)
            stack.callback(os.close, fd)
        if await core.blocking(guard.deny, gate, told) and fd is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DYING):
                    await pidfd.wait(fd)


async def _raised(core: Core, guard: "UprobeGuard", gate: "Gate", live: LiveCall) -> str:
    """Why there is not what it needs; "" if there is, by now."""
    while core.leases is not None:
        needs, leases = await _needs(core, guard, gate, live), _leases(core, gate)
        short = max(0, needs - sum(one.bytes for one in leases))
        # Which device memory is on the library does not say: the first that may have it has it.
        may = [one for one in leases if one.bytes + short <= one.wish.memory]
        if not may:
            return f"{units.format_bytes(needs)} is more than it asked for"
        try:
            await core.leases.change(may[0].id, memory=may[0].bytes + short)
        except BusyError:
            await asyncio.sleep(_BUSY)
        except AgentcgError as e:
            return e.message
        else:
            return ""
    return words.STOPPING


async def _needs(core: Core, guard: "UprobeGuard", gate: "Gate", live: LiveCall) -> int:
    """What its call needs in all: others of it may have taken some since this one came."""
    account = None if live.leaf is None else await core.blocking(guard.account, live.leaf)
    return gate.asked + (gate.used if account is None else int(account.used))


def _leases(core: Core, gate: "Gate") -> list[Lease]:
    """Those of the leaf; as they were last written, once the daemon stops."""
    if core.leases is None:
        return [one for one in core.journal.open_leases() if one.id in gate.leases]
    found = []
    for one in gate.leases:
        with contextlib.suppress(NotFoundError):
            found.append(core.leases.lease(one))
    return found


def denied(core: Core, live: LiveCall, lease: Lease, why: str, *, main: bool) -> None:
    """One process is about to be killed, and that is told.

    The call may go on without it: it is the cause of the call's end if that is a failure.
    """
    killed = live.gpu_kill = words.killed(lease)
    if main:
        live.killed_for = live.killed_for or Cause.GPU
    core.tell(
        Kind.GPU_PRESSURE,
        f"{killed} ({why})",
        session=live.record.session,
        call=live.record.id,
        data={"lease": lease.id, "bytes": lease.bytes, "used": lease.used},
    )
