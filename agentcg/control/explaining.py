"""Gathers the evidence about a call from the store, the journal and what is open now."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcg.control import learning, pastcalls, pool
from agentcg.control.core import Core
from agentcg.errors import AgentcgError
from agentcg.model.call import Call
from agentcg.model.event import Event, Kind
from agentcg.model.explanation import Explanation, Pressed
from agentcg.model.sample import Sample
from agentcg.policy import explaining, holders, timeline
from agentcg.policy.explaining import Evidence
from agentcg.policy.holders import Viewer
from agentcg.telemetry import holdings, recall
from agentcg.telemetry.dayfile import Span
from agentcg.telemetry.store import Store

_UNRECORDED = (
    "nothing is recorded here, so this is from the call's record alone: set traces.enabled in the "
    "configuration"
)
_SLACK = 1.0  # seconds: what ends a call is told a moment after its last reading
_NEVER = 1e12
# Records of calls that lived at a moment of pressure: more are not named, their bytes are counted.
_CALLS = 2000


@dataclass(frozen=True, slots=True)
class _Recorded:
    events: Sequence[Event] = ()
    samples: Sequence[Sample] = ()
    pressed: tuple[Pressed, ...] = ()
    gaps: tuple[str, ...] = (_UNRECORDED,)


async def explain(core: Core, call: Call, viewer: Viewer) -> Explanation:
    """The evidence about a call, open or closed, as `viewer` may see it."""
    store, found = core.recorder.store, _Recorded()
    # A session's query of traces has to wait its turn, so that it takes no CPU time from others.
    asker = None if viewer.session is None else call.session
    async with core.recalling.turn(asker):
        if store is not None:
            path = core.settings.paths.state / "journal.sqlite"
            found = await core.blocking(_read, store, path, call, viewer)
        size = await core.blocking(_pool, core)
    session = core.state.sessions.get(call.session)
    learned = None
    if session is not None:
        learned = learning.of(core, session, call.intent, observed=call.observed)
    evidence = Evidence(found.events, found.samples, found.pressed, size, learned, found.gaps)
    return explaining.explanation(call, evidence)


def _read(store: Store, journal: Path, call: Call, viewer: Viewer) -> _Recorded:
    end = _NEVER if call.closed_at is None else call.closed_at + _SLACK
    span = Span(call.declared_at - _SLACK, max(end, call.declared_at))
    samples, cut = recall.samples(store, call.session, call.id, span)
    events = recall.events(store, call.session, call.id, span)
    # The whole session's, and the pool's.
    beside = [*recall.events(store, call.session, "", span), *recall.events(store, "", "", span)]
    waited = [event for event in beside if event.kind is Kind.PRESSURE]
    moments = timeline.moments(call, [*events, *waited], samples)
    gaps = [] if samples or not events else ["no sample of it is kept any more"]
    if not events:
        gaps.append("no event of it is kept any more: its times are from its record")
    if cut:
        gaps.append("its oldest samples are left out: there are too many")
    if store.lost:
        gaps.append(f"{store.lost} samples of all calls were lost since the daemon started")
    pressed, missing = _pressed(store, journal, call, moments, viewer)
    return _Recorded(events, samples, pressed, (*gaps, *missing))


def _pressed(
    store: Store, journal: Path, call: Call, moments: Sequence[timeline.Moment], viewer: Viewer
) -> tuple[tuple[Pressed, ...], Sequence[str]]:
    if not moments:
        return (), ()
    times = [at for at, _ in moments]
    held, cut = holdings.at(store, times)
    gaps = []
    try:
        lived = pastcalls.alive(journal, min(times), max(times), _CALLS)
    except AgentcgError as e:
        lived = ()
        gaps.append(f"other calls have no names: {e.message}" if viewer == holders.ADMIN else "")
    known = {record.id: record for record in lived}
    found = tuple(
        Pressed(
            at,
            timeline.since(call, at),
            why,
            holders.holders(call, one, {str(k): v for k, v in known.items()}, at, viewer),
            cut,
        )
        for (at, why), one in zip(moments, held, strict=True)
    )
    return found, [gap for gap in gaps if gap]


def _pool(core: Core) -> int | None:
    """What the sessions share, as it is now."""
    try:
        with core.root.open_path(core.settings.cgroup.pool) as cgroup:
            return pool.size_of(core, cgroup)[1]
    except AgentcgError:
        return None
