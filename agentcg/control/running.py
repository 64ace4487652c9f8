"""A call between its start and its end: what the kernel says of it, its timers, its end.

A call *ends* when its main process exits, or when the harness says so; it *closes* when its leaf
is empty and gone. In between it lingers at the lowest weight.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace

from agentcg.control import closing, evidence
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.enforce import limits, remove
from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.kernel import pidfd as pidfds
from agentcg.model.call import ALIVE, CallState
from agentcg.model.event import Kind
from agentcg.model.intent import OnEnd
from agentcg.model.outcome import Cause
from agentcg.policy.admit import LINGER_WEIGHT
from agentcg.telemetry import counters

_OVER = (CallState.EXITED, CallState.KILLED, CallState.LINGERING)
_BY_ITSELF = frozenset({Cause.EXITED, Cause.UNKNOWN, Cause.PIDS})


def watch(core: Core, live: LiveCall) -> None:
    """Follow the leaf's own files: populated and frozen, and OOM and limit hits."""
    leaf = live.leaf
    if leaf is None:
        return
    try:
        core.watch.add(leaf, "cgroup.events", lambda: _on_moved(core, live))
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
    core.tell(Kind.CALL_STARTED, f"pid {pid}", session=live.record.session, call=live.record.id)


async def follow(core: Core, live: LiveCall) -> None:
    """Wait for the main process to exit, learn its status, and end the call."""
    pidfd, pid = live.pidfd, live.record.pid
    if pidfd is None or pid is None:
        return
    await pidfds.wait(pidfd)
    if live.state in ALIVE:
        live.status = pidfds.exit_status(pidfd, pid)
        if live.status is None and core.exits is not None:
            live.status = core.exits.take(pid)
        await end(core, live)


async def end(core: Core, live: LiveCall, *, exit_code: int | None = None) -> None:
    """The main process is gone, or the harness says so: write the outcome, linger or close."""
    async with live.lock:
        if live.state not in ALIVE:
            return
        if exit_code is not None and live.status is None:
            live.status = exit_code << 8
        reading = await core.blocking(evidence.read, live, core.governor)
        live.cancel_timers()
        live.record = replace(live.record, ended_at=core.now())
        result = evidence.outcome(live, reading)
        over = CallState.EXITED if result.cause in _BY_ITSELF else CallState.KILLED
        live.record = live.record.to(over, outcome=result)
        if reading.left:
            live.record = live.record.to(CallState.LINGERING)
            arm_linger(core, live)
        core.journal.put_call(live.record)
        evidence.tell_end(core, live, result)
    if not reading.left:
        await closing.close(core, live)
        return
    core.tell(
        Kind.CALL_LINGERING,
        f"{reading.left} processes go on after its main process",
        session=live.record.session,
        call=live.record.id,
    )
    if live.leaf is not None:
        await core.blocking(limits.weight, live.leaf, LINGER_WEIGHT)


async def kill(core: Core, live: LiveCall, cause: Cause) -> None:
    """Kill every process of a call; its end follows from that, by the kernel's events."""
    if live.state not in ALIVE:
        await closing.close(core, live)
        return
    live.killed_for = live.killed_for or cause
    if live.leaf is not None:
        await core.blocking(remove.kill, live.leaf)


def arm_deadline(core: Core, live: LiveCall) -> None:
    """Set the deadline, counted from the start, anew."""
    deadline, since = live.record.grant.deadline, live.record.started_at
    live.cancel_timers()
    if deadline is not None and since is not None:
        _at(core, live, since + deadline, lambda: kill(core, live, Cause.DEADLINE))


def arm_linger(core: Core, live: LiveCall) -> None:
    """Set the end of lingering: soon for `kill`, late for `keep`."""
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


def _on_moved(core: Core, live: LiveCall) -> None:
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
    try:
        populated = await core.blocking(leaf.populated)
    except CgroupGoneError:
        populated = False
    if populated and live.state is CallState.DECLARED and not live.lock.locked():
        started(core, live, None, None)
    elif not populated and live.record.pid is None and live.state in ALIVE:
        await end(core, live)
    elif not populated and live.state in _OVER:
        await closing.close(core, live)


async def _memory(core: Core, live: LiveCall) -> None:
    """memory.events.local changed: the call hit its limit, or the OOM killer took from it."""
    leaf = live.leaf
    if leaf is None or live.closed.is_set():
        return
    live.hot = True
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
