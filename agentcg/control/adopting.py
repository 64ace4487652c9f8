"""An undeclared command gets a call of its own, once the observer has seen it run.

Not race-free: what it charged before stays with the agent, and what it forked before is moved
after it. One that is over first leaves what it started with the agent.
"""

import asyncio
import os
import time
from functools import partial

from agentcg.api.controller import Peer
from agentcg.control import calls, entering, hooking
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import AgentcgError, BadValueError, ConflictError, ProcessGoneError
from agentcg.harness.announced import Announced
from agentcg.harness.attribute import Command
from agentcg.kernel import pidfd as pidfds
from agentcg.model.call import ALIVE, CallState
from agentcg.model.event import Kind
from agentcg.model.ids import CallId
from agentcg.model.session import Undeclared

_TOOL = "undeclared"
_NOBODY = -1
# After a gathering the session rests for so many times as long as that took, up to a bound: who
# makes strays on and on must not keep the daemon at it.
_REST, _REST_MAX = 3, 2.0


async def adopt(
    core: Core, live: LiveSession, command: Command, one: Announced | None, hint: str | None
) -> None:
    """Make a call of a command, under the announcement that it took, and move it there."""
    call = None
    try:
        call = await _first(core, live, command, one, hint)
    except AgentcgError as e:
        core.state.fail_opens += 1
        words = f"a command stays with the agent: {e.message}"
        core.tell(Kind.FAIL_OPEN, words, session=live.record.id)
        return
    finally:
        if one is not None:
            one.taken, one.call = call is not None, call
    if call is not None:
        live.lineage.placed(command, call)
        gather(core, live, call)


def gather(core: Core, live: LiveSession, call: CallId) -> None:
    """Have what else of a call is in the agent's cgroup moved into it, soon, and once."""
    core.coalesce(("gather", call), partial(_gather, core, live, call))


def catch_up(core: Core, live: LiveSession) -> None:
    """Once a second: those that the pace did not let through are told, or gathered."""
    if live.record.undeclared is Undeclared.PLACE and (left := live.pace.settle()):
        core.state.fail_opens += left
        words = f"{left} commands stayed with the agent: too many a second (observer.places)"
        core.tell(Kind.FAIL_OPEN, words, session=live.record.id)
    late, live.late = live.late, set()
    for call in late:
        gather(core, live, call)


async def _gather(core: Core, live: LiveSession, call: CallId) -> None:
    made = core.state.calls.get(call)
    if made is None:
        return
    async with live.gathering:
        begun = time.monotonic()
        async with made.lock:
            if made.leaf is None or not _takes_in(made):
                return
            agent, known = live.tree.agent, dict(live.lineage.of(call))
            more = await core.blocking(entering.gather, core, made.leaf, agent, known)
        if more:
            gather(core, live, call)
        await asyncio.sleep(min(_REST_MAX, _REST * (time.monotonic() - begun)))


def _takes_in(call: LiveCall) -> bool:
    """Not where they would be killed for that: nothing is killed by inference."""
    if call.killed_for is not None:
        return False
    lingers = call.state is CallState.LINGERING and call.record.observed
    return lingers or call.state in ALIVE


async def _first(
    core: Core, live: LiveSession, command: Command, one: Announced | None, hint: str | None
) -> CallId | None:
    """Of a line the first may be over before it is looked at, and the next be there."""
    while True:
        try:
            return await _declare(core, live, command, one, hint)
        except ProcessGoneError:
            if one is None or not one.more or not live.lineage.succeeded(command):
                return None  # nothing is missing


async def _declare(
    core: Core, live: LiveSession, command: Command, one: Announced | None, hint: str | None
) -> CallId | None:
    pidfd = pidfds.open(command.pid, command.start or None)
    try:
        peer = Peer(pidfd, command.pid, _NOBODY)
        try:
            intent = hooking.intent_of(core, one, command.line, _TOOL, hint)
            made = await calls.declare(core, live, intent, peer, observed=True)
        except BadValueError:
            # It runs already: what is wrong with its hints must not keep it from having a call.
            intent = hooking.plain_intent_of(core, one, command.line, _TOOL)
            made = await calls.declare(core, live, intent, peer, observed=True)
    except ConflictError:
        # By now it is where it belongs. Or its call runs already: then it is part of that.
        known = None if one is None else core.state.by_key(live, one.key)
        return known.record.id if known is not None and known.state in ALIVE else None
    finally:
        os.close(pidfd)
    return made.record.id
