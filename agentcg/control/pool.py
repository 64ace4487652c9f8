"""The pool and what each session holds of it, read at one moment, for policy.steps."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import CgroupGoneError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import ALIVE, CallState
from agentcg.model.ids import SessionId
from agentcg.policy.guarantees import within
from agentcg.policy.steps import Pool, Share
from agentcg.telemetry import counters

# A session whose tasks waited for memory counts as waiting for so long.
WAITS = 5.0
_FULL = 0.95  # of the limit


@dataclass(frozen=True, slots=True)
class Running:
    """A running call: what it uses, bytes, and how long it has waited for memory, seconds."""

    call: LiveCall
    used: int
    waited: float


@dataclass(frozen=True, slots=True)
class Closely:
    """What is read of a session only when it is held up: its running calls one by one.

    `pressure` is percent of the last 10 s in which all of them waited for memory.
    """

    pressure: float
    running: Sequence[Running]


def sharing(core: Core) -> Sequence[tuple[LiveSession, Sequence[LiveCall]]]:
    """The sessions that share the pool, with their open calls. On the event loop."""
    path = core.settings.cgroup.pool
    return [
        (session, tuple(session.calls.values()))
        for session in core.state.sessions.values()
        if session.record.observe_only is None
        and not session.closing
        and within(session.record.cgroup, path)
    ]


def size_of(core: Core, pool: CgroupDir) -> tuple[int, int]:
    """What all may fill of the pool; and its limit, or the host's memory."""
    limit = counters.integer(pool, "memory.max")
    whole = core.host.memory_total if limit is None else limit
    # The kernel takes back the page cache of its own accord, so it is no use of the pool.
    return int(core.settings.governor.share * whole) + counters.clean_cache(pool), whole


def read(
    core: Core, sessions: Sequence[tuple[LiveSession, Sequence[LiveCall]]]
) -> tuple[Pool, Mapping[SessionId, Share]]:
    """Read the pool, and of the sessions those that have calls; blocks briefly."""
    settings = core.settings.governor
    with core.root.open_path(core.settings.cgroup.pool) as cgroup:
        size, whole = size_of(core, cgroup)
        used = counters.integer(cgroup, "memory.current") or 0
    if core.governor is None:
        slack, band = int(settings.slack * size), int(settings.band * size)
        pool = Pool(size, slack, band, used, full=used >= _FULL * whole)
    else:
        # It holds up at `size` what it can; half of what is above is for what it cannot, and for
        # page cache it needs no help.
        pool = Pool((size + max(size, whole)) // 2, slack=size, band=0, used=used)
    shares = {}
    for session, calls in sessions:
        with contextlib.suppress(CgroupGoneError):  # it closes
            if calls:
                shares[session.record.id] = _share(session, calls, core.now())
    return pool, shares


def look_closely(session: LiveSession, calls: Sequence[LiveCall]) -> Closely:
    """Read a session's running calls; one that is gone has none. Blocks briefly."""
    try:
        pressure = counters.full_pressure(session.tree.calls) or 0.0
    except CgroupGoneError:
        return Closely(0.0, ())
    return Closely(pressure, [r for r in map(_running, calls) if r is not None])


def _share(session: LiveSession, calls: Sequence[LiveCall], now: float) -> Share:
    grants = [c.record.grant for c in calls]
    bounds = [g.memory_limit for g in grants]
    caps = None if session.caps is None else session.caps.calls_memory
    most = None if None in bounds else sum(b for b in bounds if b is not None)
    return Share(
        session=session.record.id,
        used=counters.integer(session.tree.calls, "memory.current") or 0,
        guaranteed=sum(g.memory_guarantee for g in grants),
        unused=sum(_unused(c) for c in calls),
        most=min((b for b in (most, caps) if b is not None), default=None),
        priority=max(g.priority for g in grants),
        high=session.high,
        waits=not session.held and now - session.waited_at < WAITS,
    )


def _unused(call: LiveCall) -> int:
    """What a call has not used yet of its guarantee."""
    guarantee = call.record.grant.memory_guarantee
    if not guarantee or call.state not in (*ALIVE, CallState.DECLARED):
        return 0
    if call.leaf is None:
        return guarantee
    try:
        return max(0, guarantee - (counters.integer(call.leaf, "memory.current") or 0))
    except CgroupGoneError:
        return 0


def _running(call: LiveCall) -> Running | None:
    leaf = call.leaf
    if leaf is None or call.state not in ALIVE:
        return None
    try:
        used = counters.integer(leaf, "memory.current") or 0
        return Running(call, used, counters.waited(leaf) or 0.0)
    except CgroupGoneError:
        return None
