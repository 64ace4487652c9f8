"""memory.high of each session's calls: tripwires and steps (policy.steps says when which).

Nothing here polls. What makes it look: a call that comes, changes or goes, a tripwire that was
passed (memory.events.local, by inotify), tasks that wait for memory (PSI triggers); and while
somebody is held up, a second that has passed. Where the BPF governor is at work (tier T1), that
holds calls up long before, and this is its backstop: for a system call that populates gigabytes.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from agentcg.control import pool, running
from agentcg.control.core import Core
from agentcg.control.pool import Running
from agentcg.control.state import LiveSession
from agentcg.enforce import limits
from agentcg.errors import CgroupError, CgroupGoneError
from agentcg.model.event import Kind
from agentcg.model.grant import ENFORCED, THROTTLE
from agentcg.model.host import Mechanism
from agentcg.model.ids import SessionId
from agentcg.model.outcome import Cause
from agentcg.policy import stall, steps, victim
from agentcg.policy.guarantees import within
from agentcg.telemetry import counters

HOW = "by memory.high of its session's calls"
_NEEDS = ("memory", "memory.high")
_AGAIN = 1.0  # between two looks while somebody is held up
_BREATH = 0.05  # between two looks at any time


async def start(core: Core) -> None:
    """Take up what an earlier daemon left written, or take it back if it is not wanted any more."""
    for session in core.state.sessions.values():
        with contextlib.suppress(CgroupError):
            high = await core.blocking(counters.integer, session.tree.calls, "memory.high")
            session.high = high
    enabled, why = core.settings.governor.enabled, _why_not(core)
    stepped = pool.sharing(core) if enabled and why is None else ()
    await _release(core, but={session.record.id for session, _ in stepped})
    if not enabled:
        return
    how = HOW if core.governor is None else f"by the BPF governor; its backstop: {HOW}"
    found = Mechanism(THROTTLE, works=why is None, detail=why or how)
    core.host = replace(core.host, mechanisms={**core.host.mechanisms, THROTTLE: found})
    if why is None:
        core.stir = lambda: core.coalesce("steps", partial(_look, core))
        core.stir()


async def undo(core: Core) -> None:
    """Let everybody go. Called once, at the stop."""
    core.steps.stopped = True
    core.stir = lambda: None
    await _release(core)


def knob(core: Core, session: LiveSession) -> dict[str, str]:
    """What a grant's `enforced` says where no BPF governor holds the call up."""
    if not core.settings.governor.enabled:
        return {}
    why = _why_not(core)
    if why is None and not within(session.record.cgroup, core.settings.cgroup.pool):
        why = f"its session is not below {core.settings.cgroup.pool}"
    return {THROTTLE: f"{ENFORCED}: {HOW}" if why is None else f"unsupported: {why}"}


def _why_not(core: Core) -> str | None:
    return next((core.host.why_not(name) for name in _NEEDS if not core.host.has(name)), None)


async def _release(core: Core, but: Collection[SessionId] = ()) -> None:
    for session in core.state.sessions.values():
        if session.record.id not in but and (session.high is not None or session.unwritten):
            session.high = None
            with contextlib.suppress(CgroupError):
                await _write(core, session)


async def _look(core: Core) -> None:
    """Look at all that share the pool, and decide anew."""
    sharing = pool.sharing(core)
    shared, shares = await core.blocking(pool.read, core, sharing)
    wanted = steps.decide(shared, list(shares.values()))
    if core.steps.stopped:
        return
    standing: dict[SessionId, Sequence[Running]] = {}
    for session, calls in sharing:
        name = session.record.id
        high = wanted.get(name)
        held = high is not None and high < shares[name].used
        if held or session.held:
            closely = await core.blocking(pool.look_closely, session, calls)
            _note(core, session, closely.running, high if held else None)
            if held and closely.pressure >= stall.PRESSURE:
                standing[name] = closely.running
        session.held = held
        if held:
            session.waited_at = 0.0  # from now on it waits because of that
        _put(core, session, high)
    if core.governor is None:
        await _unjam(core, [s for s in shares.values() if s.used > steps.LEAST], standing)
    if any(session.held for session, _ in sharing) and not core.steps.timed:
        core.steps.timed = True
        core.spawn(_again(core))
    await asyncio.sleep(_BREATH)


async def _again(core: Core) -> None:
    try:
        await asyncio.sleep(_AGAIN)
    finally:
        core.steps.timed = False
    core.stir()


def _note(
    core: Core, session: LiveSession, running_now: Sequence[Running], high: int | None
) -> None:
    """Note since when, and how long, calls are held up by `high`; None: no more."""
    for one in running_now:
        call = one.call
        if high is None:
            if call.waited is not None:
                call.held += max(0.0, one.waited - call.waited)
            call.waited = None
        elif call.waited is None:
            call.waited = one.waited
            if one.used > call.record.grant.memory_guarantee:
                core.tell(
                    Kind.CALL_THROTTLED,
                    "its session's calls grow slower: the pool is tight",
                    session=session.record.id,
                    call=call.record.id,
                    data={"memory": one.used, "high": high},
                )


def _put(core: Core, session: LiveSession, high: int | None) -> None:
    """Have a session's memory.high written, and told of when it is a tripwire."""
    if core.steps.stopped:
        return
    calls, tripwire = session.tree.calls, high is not None and not session.held
    if session.tripwire and not tripwire:
        # Above a step every batch makes an event; a second is soon enough to look at it again.
        core.watch.remove(calls)
    elif tripwire and not session.tripwire:
        try:
            core.watch.add(calls, "memory.events.local", lambda: core.stir())
        except CgroupGoneError:
            return
        except CgroupError as e:
            # Out of inotify watches: pressure still tells, but only later.
            core.tell(Kind.DAEMON, e.message, session=session.record.id)
    session.tripwire = tripwire
    if high != session.high or session.unwritten:
        session.high = high
        core.coalesce(("high", session.record.id), partial(_write, core, session))


async def _write(core: Core, session: LiveSession) -> None:
    """Write what is wanted by now. Lowering reclaims; the last that was wanted has to stand."""
    async with session.reclaim:
        try:
            await core.reclaiming(limits.high, session.tree.calls, session.high)
        except CgroupGoneError:
            return
        except CgroupError:
            session.unwritten = True
            raise
        session.unwritten = False


async def _unjam(
    core: Core, big: Sequence[steps.Share], standing: Mapping[SessionId, Sequence[Running]]
) -> None:
    """Stop a call if everybody stands still: nobody would ever give memory back."""
    all_stand = bool(standing) and all(share.session in standing for share in big)
    before = core.steps.jam
    core.steps.jam, kill = steps.jam(before, all_stand=all_stand, now=core.now())
    if not kill and core.steps.jam.told <= before.told:
        return
    calls = {one.call.record.id: one for many in standing.values() for one in many}
    chosen = victim.choose(_candidate(one) for one in calls.values())
    if chosen is None:
        return
    call = calls[chosen.call].call
    if kill:
        await running.kill(core, call, Cause.PRESSURE)
        return
    core.tell(
        Kind.POOL_FULL,
        "nobody in the pool can go on: this call gives way if that lasts",
        session=call.record.session,
        call=call.record.id,
    )


def _candidate(one: Running) -> victim.Candidate:
    call = one.call.record
    return victim.Candidate(
        call=call.id,
        priority=call.grant.priority,
        used=one.used,
        guarantee=call.grant.memory_guarantee,
        started_at=call.started_at or 0.0,
    )
