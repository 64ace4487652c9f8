"""A call between its start and its end: what the kernel says of it, its timers, its end.

A call *ends* when its main process exits, or when the harness says so; it *closes* when its leaf
is empty and gone. In between it lingers at the lowest weight.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace

from agentcg.control import closing, evidence, granting, guarantees, lending
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.enforce import limits, remove
from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.harness.announced import Announced
from agentcg.intent import execed
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import ALIVE, CallState
from agentcg.model.event import Kind
from agentcg.model.intent import OnEnd
from agentcg.model.outcome import Cause
from agentcg.policy.admit import LINGER_WEIGHT
from agentcg.policy.learned import without
from agentcg.telemetry import counters

# From an empty leaf to the engine's event.
TOLD_WITHIN = 3.0
# A line's programs follow each other at once, but for what its shell does in between.
LINE_RESTS = 1.5
# Where inotify watches were used up nobody tells.
_LOOKS_AGAIN = 30.0
_OVER = (CallState.EXITED, CallState.KILLED, CallState.LINGERING)
_BY_ITSELF = frozenset({Cause.EXITED, Cause.UNKNOWN, Cause.PIDS})


def watch(core: Core, live: LiveCall) -> None:
    """Follow the leaf's own files: populated and frozen, and OOM and limit hits."""
    leaf = live.leaf
    if leaf is None:
        return
    try:
        core.watch.add(leaf, "cgroup.events", lambda: look(core, live))
        if core.host.has("memory"):
            core.watch.add(leaf, "memory.events.local", lambda: _on_memory(core, live))
    except CgroupError as e:
        # Out of inotify watches: the pidfd still tells the end, the timers the rest.
        core.tell(Kind.DAEMON, e.message, session=live.record.session, call=live.record.id)


def started(core: Core, live: LiveCall, pid: int | None, start_ticks: int | None) -> None:
    """The call runs: by placement, or because a runtime populated its leaf."""
    live.cancel_timers()
    live.record = live.record.to(
        CallState.RUNNING, started_at=core.now(), pid=pid, start_ticks=start_ticks
    )
    core.journal.put_call(live.record)
    arm_deadline(core, live)
    core.stir()
    core.tell(Kind.CALL_STARTED, f"pid {pid}", session=live.record.session, call=live.record.id)


async def follow(core: Core, live: LiveCall) -> None:
    """Wait for the main process to exit, learn its status, and end the call."""
    if live.pidfd is None:
        return
    await pidfds.wait(live.pidfd)
    closing.learn_status(core, live)
    one = live.session.hooked.known.get(live.record.intent.key or "")
    if one is not None and one.typed:
        await _rest(core, live, one)
    if live.state in ALIVE:
        await end(core, live)


async def _rest(core: Core, live: LiveCall, one: Announced) -> None:
    """A typed line goes on while anything of it runs, and for a while if its hook is to come.

    Also after its hook, like a command that the harness took to the background: nobody tells
    what was waited for too long from what was put there.
    """
    rested = False
    while live.leaf is not None and live.state in ALIVE:
        live.changed.clear()
        runs = await core.blocking(_populated, live.leaf)
        over = rested or one.over or not one.typed or live.killed_for is not None
        if over and not runs:
            break
        try:
            async with asyncio.timeout(_LOOKS_AGAIN if runs else LINE_RESTS):
                await live.changed.wait()
            rested = False
        except TimeoutError:
            rested = not runs
    if one.more:
        live.status = None  # of the first alone


async def end(core: Core, live: LiveCall, *, exit_code: int | None = None) -> None:
    """The main process is gone, or the harness says so: write the outcome, linger or close."""
    async with live.lock:
        if live.state not in ALIVE:
            return
        if exit_code is not None and live.status is None:
            live.status = exit_code << 8
        reading = await core.blocking(evidence.read, core, live)
        live.cancel_timers()
        live.record = replace(live.record, ended_at=core.now())
        result = evidence.outcome(live, reading)
        over = CallState.EXITED if result.cause in _BY_ITSELF else CallState.KILLED
        live.record = live.record.to(over, outcome=result)
        if reading.left:
            _linger(core, live)
            lending.over(core, live, left=True)
        core.journal.put_call(live.record)
        evidence.tell_end(core, live, result)
    if reading.left:
        await _slow_down(core, live, f"{reading.left} processes go on after its main process")
    else:
        await _close_empty(core, live)


async def _close_empty(core: Core, live: LiveCall) -> None:
    """Close a call that is over and was found empty; who has come in by now lingers."""
    if await closing.close_empty(core, live):
        return
    async with live.lock:
        if live.state not in (CallState.EXITED, CallState.KILLED):
            return
        _linger(core, live)
        core.journal.put_call(live.record)
    await _slow_down(core, live, "processes came in when it was over")


def _linger(core: Core, live: LiveCall) -> None:
    """What goes on keeps what was asked for it; what was learned is for the others again."""
    grant = live.record.grant
    live.record = live.record.to(CallState.LINGERING, grant=without(grant))
    guarantees.change(core, grant)
    arm_linger(core, live)


async def _slow_down(core: Core, live: LiveCall, why: str) -> None:
    core.tell(Kind.CALL_LINGERING, why, session=live.record.session, call=live.record.id)
    if live.leaf is not None:
        await core.blocking(limits.weight, live.leaf, LINGER_WEIGHT)
        await core.blocking(limits.guarantee, live.leaf, live.record.grant.memory_guarantee)
        await core.blocking(granting.govern, core, live.session, live.leaf, live.record)


async def unseen(core: Core, live: LiveCall) -> None:
    """Wait a moment for the engine's word on a call whose main process is not known here."""
    if core.settings.docker.enabled and (live.record.intent.key or "").startswith(execed.KEY):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOLD_WITHIN):
                await live.told.wait()


async def kill(core: Core, live: LiveCall, cause: Cause) -> None:
    """Kill every process of a call; its end follows from that, by the kernel's events."""
    if live.state not in ALIVE:
        await closing.close(core, live)
        return
    live.killed_for = live.killed_for or cause
    if live.leaf is not None:
        await core.blocking(remove.kill, live.leaf)


def _populated(leaf: CgroupDir) -> bool:
    try:
        return leaf.populated()
    except CgroupGoneError:
        return False


def arm_deadline(core: Core, live: LiveCall) -> None:
    """Set the deadline, counted from the start, anew."""
    deadline, since = live.record.grant.deadline, live.record.started_at
    live.cancel_timers()
    if deadline is not None and since is not None:
        _at(core, live, since + deadline, lambda: kill(core, live, Cause.DEADLINE))


def arm_linger(core: Core, live: LiveCall) -> None:
    """Set the end of lingering: soon for `kill`, late for `keep`.

    What nobody declared lingers as long as it likes: nothing is killed by inference.
    """
    if live.record.observed:
        return
    calls = core.settings.calls
    keep = live.record.grant.on_end is OnEnd.KEEP
    wait = calls.linger_max if keep else calls.linger_kill
    _at(core, live, (live.record.ended_at or core.now()) + wait, lambda: closing.close(core, live))


def arm_start(core: Core, live: LiveCall) -> None:
    """A call that is declared and not started in time loses its grant."""

    async def expire() -> None:
        if live.state is CallState.DECLARED:
            await closing.close(core, live)

    _at(core, live, live.record.declared_at + core.settings.calls.start_within, expire)


def _at(
    core: Core, live: LiveCall, when: float, what: Callable[[], Coroutine[object, object, None]]
) -> None:
    wait = max(0.0, when - core.now())
    loop = asyncio.get_running_loop()
    live.timers.append(loop.call_later(wait, lambda: core.spawn(what())))


def look(core: Core, live: LiveCall) -> None:
    """Have the leaf looked at, where cgroup.events changed or may have while nobody listened."""
    live.changed.set()
    core.coalesce(("moved", live.record.id), lambda: _moved(core, live))


def _on_memory(core: Core, live: LiveCall) -> None:
    # A call at its limit changes the file thousands of times a second.
    core.coalesce(("memory", live.record.id), lambda: _memory(core, live))


async def _moved(core: Core, live: LiveCall) -> None:
    """cgroup.events changed."""
    leaf = live.leaf
    if leaf is None or live.closed.is_set():
        return
    populated = await core.blocking(_populated, leaf)
    if populated and live.state is CallState.DECLARED and not live.lock.locked():
        started(core, live, None, None)
        await core.blocking(granting.hand_over, core, leaf)
    elif not populated and live.record.pid is None and live.state in ALIVE:
        await unseen(core, live)
        await end(core, live)
    elif not populated and live.state in _OVER:
        await _close_empty(core, live)


async def _memory(core: Core, live: LiveCall) -> None:
    """memory.events.local changed: the call hit its limit, or the OOM killer took from it."""
    leaf = live.leaf
    if leaf is None or live.closed.is_set():
        return
    live.hot = True
    core.recorder.stir(live)
    usage = await core.blocking(counters.read, leaf)
    if (usage.oom_kill or 0) > live.oom_told:
        live.oom_told = usage.oom_kill or 0
        core.tell(
            Kind.CALL_OOM,
            f"the OOM killer took {live.oom_told} of its processes",
            session=live.record.session,
            call=live.record.id,
            data={"oom_kill": usage.oom_kill, "peak": usage.peak},
        )
