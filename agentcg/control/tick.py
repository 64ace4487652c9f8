"""Once a second, what no event tells: reserves that move, stalls, CPU outside calls, late joins.

Only sessions with something going on are read, and of their calls only the hot ones: those whose
memory.events.local said that they hit their limit.
"""

import asyncio
from functools import partial

from agentcg.control import adopting, capping, running, sessions
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.enforce import limits
from agentcg.errors import AgentcgError, CgroupGoneError
from agentcg.model.call import ALIVE
from agentcg.model.event import Kind
from agentcg.model.outcome import Cause
from agentcg.model.session import Undeclared
from agentcg.policy import stall, undeclared
from agentcg.telemetry import counters

EVERY = 1.0


async def forever(core: Core) -> None:
    """Look after every session each second, until cancelled; a slow one delays no other."""
    while True:
        await asyncio.sleep(EVERY)
        for session in core.state.sessions.values():
            core.coalesce(("tick", session.record.id), partial(_turn, core, session))


async def _turn(core: Core, session: LiveSession) -> None:
    try:
        await look_after(core, session)
    except CgroupGoneError:
        core.spawn(sessions.close(core, session))
    except AgentcgError as e:
        core.tell(Kind.DAEMON, e.message, session=session.record.id)


async def look_after(core: Core, session: LiveSession) -> None:
    """One session's turn."""
    if session.closing:
        return
    adopting.catch_up(core, session)
    if core.host.has("memory"):
        await capping.recap(core, session)
    if session.record.undeclared is not Undeclared.OBSERVE:
        await _agent_cpu(core, session)
    for call in [c for c in session.calls.values() if c.hot and c.state in ALIVE]:
        await _stalls(core, call)


async def _agent_cpu(core: Core, session: LiveSession) -> None:
    agent = session.tree.agent
    used = await core.blocking(counters.cpu_seconds, agent)
    if used is None:
        return
    old = session.credit
    session.credit = undeclared.spend(old, used, core.now())
    if session.credit.weight != old.weight:
        await core.blocking(limits.weight, agent, session.credit.weight)


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
