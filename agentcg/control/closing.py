"""A call's last step: kill what is left, remove the leaf, write the last word."""

import asyncio
import os
from dataclasses import replace

from agentcg.control import evidence, guarantees
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.enforce import remove
from agentcg.errors import UnavailableError
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import ALIVE, CallState
from agentcg.model.event import Kind
from agentcg.model.outcome import Cause

REAP_WITHIN = 1.0
REMOVE_WITHIN = 30.0
_RETRY = 0.25


async def close(core: Core, live: LiveCall) -> None:
    """Kill what is left, remove the leaf, and answer when that is done. Idempotent.

    Raises:
        UnavailableError: the leaf would not go within 30 s; the next close tries again.
    """
    async with live.lock:
        if live.closed.is_set():
            return
        live.cancel_timers()
        reading = await core.blocking(evidence.read, live, core.governor)
        if live.leaf is not None:
            await _remove(core, live, live.leaf)
        if live.state in ALIVE:
            # Closed before it ended: what was running died of this request.
            live.killed_for = live.killed_for or Cause.REQUEST
            await _learn_status(live)
        if live.record.outcome is None:
            live.record = replace(live.record, ended_at=core.now())
            result = evidence.outcome(live, reading)
            live.record = live.record.to(CallState.KILLED, outcome=result)
            evidence.tell_end(core, live, result)
        elif live.state is CallState.LINGERING:
            result = replace(evidence.outcome(live, reading), left_behind=reading.left)
            live.record = replace(live.record, outcome=result)
        live.record = live.record.to(CallState.CLOSED, closed_at=core.now())
        forget(core, live)
    left = f"{reading.left} processes left behind were killed" if reading.left else "nothing left"
    core.tell(Kind.CALL_CLOSED, left, session=live.record.session, call=live.record.id)


async def undo(core: Core, live: LiveCall) -> None:
    """Take back a call whose making failed: no leaf, no open record, its grant free again."""
    await core.blocking(remove.remove, live.session.tree.calls, live.record.id)
    live.record = live.record.to(CallState.CLOSED, closed_at=core.now())
    forget(core, live)


def forget(core: Core, live: LiveCall) -> None:
    """Drop a closed call from the books and let go of its descriptors."""
    core.journal.put_call(live.record)
    core.state.drop_call(live)
    guarantees.change(core, live.record.grant)
    if live.pidfd is not None:
        os.close(live.pidfd)
        live.pidfd = None
    if live.leaf is not None:
        core.watch.remove(live.leaf)
        live.leaf.close()
    live.closed.set()
    live.session.on_idle()


async def _remove(core: Core, live: LiveCall, leaf: CgroupDir) -> None:
    """Kill and rmdir until it holds; woken by cgroup.events, at the latest every 250 ms."""
    deadline = asyncio.get_running_loop().time() + REMOVE_WITHIN
    while True:
        live.changed.clear()
        if await core.blocking(_try_remove, live, leaf):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise UnavailableError(
                f"call {live.record.id}: its cgroup is still busy {REMOVE_WITHIN:g} s after the "
                f"kill; a process in an uninterruptible wait holds it, close it again later"
            )
        try:
            async with asyncio.timeout(_RETRY):
                await live.changed.wait()
        except TimeoutError:
            continue


def _try_remove(live: LiveCall, leaf: CgroupDir) -> bool:
    calls = live.session.tree.calls
    if remove.remove(calls, live.record.id):
        return True
    remove.kill(leaf)
    return remove.remove(calls, live.record.id)


async def _learn_status(live: LiveCall) -> None:
    if live.pidfd is None or live.record.pid is None:
        return
    try:
        async with asyncio.timeout(REAP_WITHIN):
            await pidfds.wait(live.pidfd)
    except TimeoutError:
        return
    live.status = pidfds.exit_status(live.pidfd, live.record.pid)
