"""What is done when the pool has no room for a call: what it prefers, and the last step.

The governor reports a call that found no room for longer than a batch may wait. That it stands
still costs nobody anything as long as another works (policy.stuck); the rest follows from what each
call asked for.
"""

import contextlib
from functools import partial

from agentcg.control import freezing, running
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.errors import AgentcgError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call, CallState
from agentcg.model.event import Kind
from agentcg.model.intent import OnPressure
from agentcg.model.outcome import Cause
from agentcg.policy import terms
from agentcg.policy.guarantees import within
from agentcg.policy.stuck import Standing, Step, judge
from agentcg.policy.victim import Candidate
from agentcg.telemetry import counters


def report(core: Core, live: LiveCall | None) -> None:
    """There is no room for a call; None: for work outside calls."""
    core.coalesce(("stuck", live and live.record.id), partial(_prefer, core, live))


def look(core: Core, *, slack: bool) -> None:
    """Once a second, for calls that are frozen until there is room: they report nothing."""
    if any(_waits(call) for call in core.state.calls.values()):
        core.coalesce("thaw", partial(_thaw_next if slack else _judge, core))


async def resume(core: Core) -> None:
    """After a start: who was frozen for want of room is so still, or is let go."""
    for call in core.state.calls.values():
        call.for_room = call.record.intent.on_pressure is OnPressure.FREEZE
    if core.governor is None:
        await let_go(core)


async def let_go(core: Core) -> None:
    """Nobody tells any more when there is room: whoever waits for it goes on."""
    for call in list(core.state.calls.values()):
        if _waits(call):
            await _thaw(core, call)


async def _prefer(core: Core, live: LiveCall | None) -> None:
    if live is not None and live.state is CallState.RUNNING:
        wish = live.record.intent.on_pressure
        if wish is OnPressure.KILL:
            _tell(core, live, "it prefers to be killed when the pool has no room for it")
            await running.kill(core, live, Cause.PRESSURE)
            return
        if wish is OnPressure.FREEZE:
            live.for_room = True
            await freezing.freeze(core, live, frozen=True)
    # Work outside calls has its caps: nobody gives way for it.
    if live is not None:
        await _judge(core)


async def _judge(core: Core) -> None:
    standings = await core.blocking(_standings, core)
    # Reports come after a delay at the latest, and not more often than one a second.
    patience = core.settings.governor.max_delay + 1
    core.stuck, step, going = judge(core.stuck, standings, core.now(), patience)
    live = None if going is None else core.state.calls.get(going.call)
    if live is None or live.leaf is None or going is None:
        return
    if step is Step.RECLAIM:
        _tell(core, live, "nobody in the pool can go on: what can be is taken back from this call")
        await core.reclaiming(_reclaim, live.leaf, going.used - going.guarantee)
    elif step is Step.KILL:
        _tell(core, live, "nobody in the pool can go on: this call gives way")
        await running.kill(core, live, Cause.PRESSURE)


def _standings(core: Core) -> list[Standing]:
    pool, found = core.settings.cgroup.pool, []
    for one in list(core.state.calls.values()):
        if one.leaf is not None and within(one.session.record.cgroup, pool):
            with contextlib.suppress(AgentcgError):  # it closes this moment
                found.append(_standing(core, one.record, one.leaf))
    return found


def _standing(core: Core, call: Call, leaf: CgroupDir) -> Standing:
    on = terms.of_call(call)
    tally = None if core.governor is None else core.governor.tally(leaf.id)
    used = counters.integer(leaf, "memory.current") or 0
    return Standing(
        Candidate(call.id, on.priority, used, on.kept, call.started_at or call.declared_at),
        cpu=counters.cpu_seconds(leaf) or 0.0,
        held=0 if tally is None else tally.held,
    )


def _reclaim(leaf: CgroupDir, amount: int) -> None:
    try:
        leaf.write("memory.reclaim", amount)
    except AgentcgError:
        return  # EAGAIN: not so much could be taken back


async def _thaw_next(core: Core) -> None:
    """One at a time: the first may need all the room that there is."""
    waiting = [c for c in core.state.calls.values() if _waits(c)]
    if waiting:
        await _thaw(core, max(waiting, key=lambda c: c.record.grant.priority))


async def _thaw(core: Core, call: LiveCall) -> None:
    try:
        await freezing.freeze(core, call, frozen=False)
        call.for_room = False
    except AgentcgError as e:  # it dies this moment, or is tried again at the next look
        core.tell(Kind.DAEMON, e.message, session=call.record.session, call=call.record.id)


def _waits(call: LiveCall) -> bool:
    return call.for_room and call.state is CallState.FROZEN


def _tell(core: Core, live: LiveCall, words: str) -> None:
    core.tell(Kind.POOL_FULL, words, session=live.record.session, call=live.record.id)
