"""Once a second, what no event tells: reserves that move, stalls, CPU outside calls, late joins.

Only sessions with something going on are read, and of their calls only the hot ones: those whose
memory.events.local said that they hit their limit.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from agentcg.control import adopting, capping, running, sessions
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.enforce import limits
from agentcg.errors import AgentcgError, CgroupGoneError
from agentcg.model.call import ALIVE
from agentcg.model.caps import Caps
from agentcg.model.event import Kind
from agentcg.model.outcome import Cause
from agentcg.model.session import Undeclared
from agentcg.policy import stall, undeclared
from agentcg.telemetry import counters

EVERY = 1.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A session's reading: what its halves may have, and its agent's CPU time in seconds."""

    caps: Caps | None
    cpu: float | None


async def forever(core: Core) -> None:
    """Look after every session each second, until cancelled; a write that is slow delays no other.

    All are read in one trip to a worker thread: the files wait for no reclaim, as writes do.
    """
    while True:
        await asyncio.sleep(EVERY)
        awake = [session for session in core.state.sessions.values() if not session.closing]
        found = await core.blocking(_read, core, awake) if awake else []
        for session, seen in zip(awake, found, strict=True):
            core.coalesce(("tick", session.record.id), partial(_turn, core, session, seen))


def _read(core: Core, sessions: Sequence[LiveSession]) -> list[_Seen | Exception]:
    found: list[_Seen | Exception] = []
    for session in sessions:
        try:
            found.append(read(core, session))
        except Exception as e:  # noqa: BLE001 it is this session's turn that ends with it
            found.append(e)
    return found


async def _turn(core: Core, session: LiveSession, seen: _Seen | Exception) -> None:
    try:
        if isinstance(seen, Exception):
            raise seen
        await look_after(core, session, seen)
    except CgroupGoneError:
        core.spawn(sessions.close(core, session))
    except AgentcgError as e:
        core.tell(Kind.DAEMON, e.message, session=session.record.id)


def read(core: Core, session: LiveSession) -> _Seen:
    """What one session's turn goes by. Blocks briefly."""
    observed = session.record.undeclared is Undeclared.OBSERVE
    return _Seen(
        capping.read(core, session) if core.host.has("memory") else None,
        None if observed else counters.cpu_seconds(session.tree.agent),
    )


async def look_after(core: Core, session: LiveSession, seen: _Seen) -> None:
    """One session's turn."""
    if session.closing:
        return
    adopting.catch_up(core, session)
    await capping.recap(core, session, seen.caps)
    if seen.cpu is not None:
        await _agent_cpu(core, session, seen.cpu)
    for call in [c for c in session.calls.values() if c.hot and c.state in ALIVE]:
        await _stalls(core, call)


async def _agent_cpu(core: Core, session: LiveSession, used: float) -> None:
    old = session.credit
    session.credit = undeclared.spend(old, used, core.now())
    if session.credit.weight != old.weight:
        await core.blocking(limits.weight, session.tree.agent, session.credit.weight)


async def _stalls(core: Core, call: LiveCall) -> None:
    leaf = call.leaf
    if leaf is None or call.session.held:
        # Who is held up waits for others, by our doing: that is no stall at its own limit.
        call.stall = stall.Stall()
        return
    usage = await core.blocking(counters.read, leaf)
    limit = call.record.grant.memory_limit
    verdict = stall.judge(call.stall, usage, limit, core.now())
    call.stall = verdict.state
    call.hot = verdict.state.since is not None
    if verdict.tell:
        core.tell(
            Kind.CALL_STALLED,
            "it makes almost no progress at its memory limit; it will be stopped if that lasts",
            session=call.record.session,
            call=call.record.id,
            data={"pressure": usage.pressure, "memory": usage.memory, "limit": limit},
        )
    if verdict.kill:
        await running.kill(core, call, Cause.STALL)
