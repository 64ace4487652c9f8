"""What sessions used, read for a scrape of the metrics: in one trip to a worker thread."""

from collections.abc import Sequence

from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.errors import AgentcgError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.metered import OTHER, Metered, Totals
from agentcg.telemetry import counters

_Reading = tuple[int | None, Totals]


async def base(core: Core, cgroup: CgroupDir) -> Totals:
    """Where to count from: a container may have used much before it becomes a session."""
    ((_, totals),) = await core.blocking(_read, [cgroup])
    return totals


async def closing(core: Core, live: LiveSession) -> None:
    """Read it for the last time, while its cgroup is still there."""
    await _readings(core, [live])


async def metered(core: Core) -> Sequence[Metered]:
    """Each session that has series of its own, and the rest as one."""
    sessions = list(core.state.sessions.values())
    memory = await _readings(core, sessions)
    shown, calls, used = [], 0, 0
    for live, now in zip(sessions, memory, strict=True):
        name = live.record.id
        count = core.meter.of(name)
        if count is None:
            continue  # it closed while others were read
        if core.meter.is_own(name):
            shown.append(count.shown(name, len(live.calls), now, live.limit))
        else:
            calls += len(live.calls)
            used += now or 0
    return (*shown, core.meter.rest().shown(OTHER, calls, used, None))


async def _readings(core: Core, sessions: Sequence[LiveSession]) -> list[int | None]:
    """What they use now; what only grows is noted with the meter."""
    # Whose session closes meanwhile is another's, should its name come again.
    counts = [core.meter.of(live.record.id) for live in sessions]
    found = await core.blocking(_read, [live.tree.session for live in sessions])
    for live, count, (_, totals) in zip(sessions, counts, found, strict=True):
        if count is not None:
            count.read(totals)
            count.undeclared = live.undeclared
    return [memory for memory, _ in found]


def _read(cgroups: Sequence[CgroupDir]) -> list[_Reading]:
    """In a thread; nothing of one that is gone."""
    found: list[_Reading] = []
    for one in cgroups:
        try:
            found.append((counters.integer(one, "memory.current"), counters.totals(one)))
        except (AgentcgError, ValueError):
            found.append((None, Totals()))
    return found
