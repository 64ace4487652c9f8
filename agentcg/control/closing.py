"""A call's last step: kill what is left, remove the leaf, write the last word."""

import asyncio
import contextlib
import os
from dataclasses import replace

from agentcg.control import evidence, guarantees, lending
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.enforce import place, remove
from agentcg.errors import CgroupGoneError, UnavailableError
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
        reading = await core.blocking(_read, core, live)
        if live.leaf is not None:
            await _remove(core, live, live.leaf, kills=True)
        if live.state in ALIVE:
            # Closed before it ended: what was running died of this request.
            live.killed_for = live.killed_for or Cause.REQUEST
            await _learn_status(core, live)
        _last_word(core, live, reading)


async def close_empty(core: Core, live: LiveCall) -> bool:
    """Close a call that is over, if its leaf is empty; whether it was. It kills nobody.

    Who has come in since it was found empty was moved there by inference.

    Raises:
        UnavailableError: nothing is in the leaf, and it would not go within 30 s.
    """
    async with live.lock:
        if live.closed.is_set():
            return True
        reading = await core.blocking(_read, core, live)
        if live.leaf is not None and not await _remove(core, live, live.leaf, kills=False):
            return False
        live.cancel_timers()
        _last_word(core, live, replace(reading, left=0))
    return True


def _read(core: Core, live: LiveCall) -> evidence.Reading:
    core.recorder.last(live)
    return evidence.read(core, live)


def _last_word(core: Core, live: LiveCall, reading: evidence.Reading) -> None:
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
    core.recorder.closed(live.record)
    left = f"{reading.left} processes left behind were killed" if reading.left else "nothing left"
    core.tell(Kind.CALL_CLOSED, left, session=live.record.session, call=live.record.id)


async def undo(core: Core, live: LiveCall) -> CgroupDir | None:
    """Take back a call whose making failed: no leaf, no open record, its grant free again.

    Who is in the leaf, which may be a stranger, goes to the session's agent. Where that cannot be
    done the call stays in the books, and this is its leaf.
    """
    leaf = await core.blocking(_vacated, live)
    if leaf is None:
        live.record = live.record.to(CallState.CLOSED, closed_at=core.now())
        forget(core, live)
    return leaf


def _vacated(live: LiveCall) -> CgroupDir | None:
    home = live.session.tree
    try:
        leaf = home.calls.child(live.record.id)
    except CgroupGoneError:
        return None
    try:
        if place.vacate(leaf, home.agent) and remove.remove(home.calls, live.record.id):
            leaf.close()
            return None
    except CgroupGoneError:
        leaf.close()
        return None
    except BaseException:
        leaf.close()
        raise
    return leaf


def forget(core: Core, live: LiveCall) -> None:
    """Drop a closed call from the books and let go of its descriptors."""
    lending.over(core, live, left=False)
    core.journal.put_call(live.record)
    core.state.drop_call(live)
    guarantees.change(core, live.record.grant)
    core.stir()
    if live.pidfd is not None:
        os.close(live.pidfd)
        live.pidfd = None
    if live.leaf is not None:
        core.watch.remove(live.leaf)
        live.leaf.close()
    live.closed.set()
    live.session.on_idle()


async def _remove(core: Core, live: LiveCall, leaf: CgroupDir, *, kills: bool) -> bool:
    """Kill and rmdir until it holds; woken by cgroup.events, at the latest every 250 ms.

    Without `kills` False as soon as somebody lives in there: who only has not gone yet is no more
    listed.
    """
    deadline = asyncio.get_running_loop().time() + REMOVE_WITHIN
    while True:
        live.changed.clear()
        if await core.blocking(_try_remove, live, leaf, kills=kills):
            return True
        if not kills and await core.blocking(_inhabited, leaf):
            return False
        if asyncio.get_running_loop().time() > deadline:
            raise UnavailableError(
                f"call {live.record.id}: its cgroup is still busy after {REMOVE_WITHIN:g} s; a "
                f"process in an uninterruptible wait holds it, close it again later"
            )
        try:
            async with asyncio.timeout(_RETRY):
                await live.changed.wait()
        except TimeoutError:
            continue


def _try_remove(live: LiveCall, leaf: CgroupDir, *, kills: bool) -> bool:
    calls = live.session.tree.calls
    if remove.remove(calls, live.record.id):
        return True
    if not kills:
        return False
    remove.kill(leaf)
    return remove.remove(calls, live.record.id)


def _inhabited(leaf: CgroupDir) -> bool:
    # What is nested in there and empty is removed by now.
    with contextlib.suppress(CgroupGoneError):
        return bool(leaf.pids() or leaf.children())
    return False


async def _learn_status(core: Core, live: LiveCall) -> None:
    if live.pidfd is None:
        return
    try:
        async with asyncio.timeout(REAP_WITHIN):
            await pidfds.wait(live.pidfd)
    except TimeoutError:
        return
    learn_status(core, live)


def learn_status(core: Core, live: LiveCall) -> None:
    """How the main process, which has exited, ended: as far as the kernel tells."""
    pid = live.record.pid
    if pid is None:
        return
    # Taken in any case, or it would be remembered for ever.
    seen = None if core.exits is None else core.exits.take(pid)
    if live.status is None and live.pidfd is not None:
        status = pidfds.exit_status(live.pidfd, pid)
        live.status = seen if status is None else status
