"""Gathers the evidence about a call from the store, the journal and what is open now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
_EVER = Span(0.0, _NEVER)
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
    gaps = found.gaps if size is not None else (*found.gaps, "the pool's size cannot be read now")
    evidence = Evidence(found.events, found.samples, found.pressed, size, gaps=gaps, now=core.now())
    return explaining.explanation(call, _with_learned(core, call, evidence))


def _with_learned(core: Core, call: Call, found: Evidence) -> Evidence:
    if core.settings.learned.scope == "none":
        return replace(found, unlearned="learning is off (learned.scope is none)")
    if core.settings.store_commands in ("none", "hash"):
        why = f"no command is kept to learn from (store_commands is {core.settings.store_commands})"
        return replace(found, unlearned=why)
    session = core.state.sessions.get(call.session)
    if session is None:
        return replace(found, unlearned="its session is closed")
    learned = learning.of(core, session, call.intent, observed=call.observed)
    return replace(found, learned=learned)


def _read(store: Store, journal: Path, call: Call, viewer: Viewer) -> _Recorded:
    samples, cut = recall.samples(store, call.session, call.id, _EVER)
    events = recall.events(store, call.session, call.id, _EVER)
    span = _lifetime(call, [*(one.at for one in samples), *(one.at for one in events)])
    # The whole session's, and the pool's.
    beside = [recall.events(store, session, "", span) for session in (call.session, "")]
    waited = [event for one in beside for event in one if event.kind is Kind.PRESSURE]
    moments = timeline.moments(call, [*events, *waited], samples)
    gaps = [] if samples or not events else ["no sample of it is kept any more"]
    if not events:
        gaps.append("no event of it is kept any more: its times are from its record")
    if cut:
        gaps.append("its oldest samples are left out: there are too many")
    if len(events) >= recall.EVENTS:
        gaps.append("its oldest events are left out: there are too many")
    if any(len(one) >= recall.EVENTS for one in beside):
        gaps.append("the oldest pressure beside it is left out: too much happened")
    if store.lost:
        gaps.append(f"{store.lost} samples of all calls were lost since the daemon started")
    pressed, missing = _pressed(store, journal, call, moments, viewer)
    return _Recorded(events, samples, pressed, (*gaps, *missing))


def _lifetime(call: Call, recorded: Iterable[float]) -> Span:
    """From its first moment to its last, also if the clock was put back meanwhile."""
    known = (call.declared_at, call.started_at, call.ended_at, call.closed_at)
    times = [*recorded, *(at for at in known if at is not None)]
    end = _NEVER if call.closed_at is None else max(times) + _SLACK
    return Span(min(times) - _SLACK, end)


def _pressed(
    store: Store, journal: Path, call: Call, moments: Sequence[timeline.Moment], viewer: Viewer
) -> tuple[tuple[Pressed, ...], Sequence[str]]:
    if not moments:
        return (), ()
    times = [at for at, _ in moments]
    held, cut = holdings.at(store, times)
    found, gaps = [], set()
    for (at, why), one in zip(moments, held, strict=True):
        # Of each moment by itself: of a long time the oldest, which may hold most, would be cut.
        known, gap = _known(journal, at, viewer)
        gaps |= gap
        who = holders.holders(call, one, known, at, viewer)
        found.append(Pressed(at, timeline.since(call, at), why, who, cut))
    return tuple(found), sorted(gaps)


def _known(journal: Path, at: float, viewer: Viewer) -> tuple[dict[str, Call], set[str]]:
    """The records of the calls that lived at a moment, and what is not known of them."""
    try:
        lived = pastcalls.alive(journal, at, at, _CALLS)
    except AgentcgError as e:
        # Where the journal is and what ails it is the administrator's to know.
        why = e.message if viewer == holders.ADMIN else "the journal cannot be read"
        return {}, {f"other calls have no names, their memory is told with their session's: {why}"}
    known = {str(record.id): record for record in lived}
    if len(lived) < _CALLS:
        return known, set()
    return known, {f"more than {_CALLS} calls lived at a time: the oldest of them have no names"}


def _pool(core: Core) -> int | None:
    """What the sessions share, as it is now."""
    try:
        with core.root.open_path(core.settings.cgroup.pool) as cgroup:
            return pool.size_of(core, cgroup)[1]
    except AgentcgError:
        return None
