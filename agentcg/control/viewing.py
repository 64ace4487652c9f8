"""Records together with what is read for them just now."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import CgroupGoneError
from agentcg.model.call import Call
from agentcg.model.ids import CallId
from agentcg.model.sample import Counters
from agentcg.model.view import CallView, SessionView
from agentcg.telemetry import counters


async def call(core: Core, live: LiveCall) -> CallView:
    """One call."""
    return (await calls(core, [live]))[0]


async def calls(core: Core, live: Sequence[LiveCall]) -> list[CallView]:
    """Read them in one trip: of hundreds, the trips would take longer than the reading."""
    leaves = {c.record.id: c.leaf for c in live if c.leaf and not c.closed.is_set()}

    def read() -> dict[CallId, Counters]:
        return {name: counters.read(leaf) for name, leaf in leaves.items()}

    usage = await core.blocking(read) if leaves else {}
    views = [
        CallView(c.record, usage[c.record.id]) if c.record.id in usage else closed(c.record)
        for c in live
    ]
    if core.leases is None:
        return views
    return [replace(view, leases=core.leases.of_call(view.call.id)) for view in views]


def closed(record: Call) -> CallView:
    """A call with the figures of its last reading."""
    result = record.outcome
    if result is None:
        return CallView(record, Counters())
    usage = Counters(peak=result.peak, cpu=result.cpu, throttled=result.throttled)
    return CallView(record, replace(usage, oom_kill=result.oom_kills))


async def session(core: Core, live: LiveSession) -> SessionView:
    """One session."""
    cgroup, memory = live.tree.session, None
    with contextlib.suppress(CgroupGoneError):  # it closes within a second
        memory = await core.blocking(counters.integer, cgroup, "memory.current")
    caps = live.caps
    return SessionView(
        session=live.record,
        open_calls=len(live.calls),
        memory=memory,
        limit=live.limit,
        reserve=None if caps is None else caps.reserve,
        calls_limit=None if caps is None else caps.calls_memory,
        agent_limit=None if caps is None else caps.agent_memory,
        undeclared=live.undeclared,
    )
