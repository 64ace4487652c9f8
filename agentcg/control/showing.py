"""What was recorded, for those who may see it; whether they may is decided before.

`asker` is the session that a query is of; None is the administrator.
"""

from collections.abc import Sequence

from agentcg.control import pastcalls
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.errors import NotFoundError, UnsupportedError
from agentcg.model.call import Call
from agentcg.model.ids import SessionId
from agentcg.model.trace import KindStats, Trace, Window
from agentcg.policy import quantiles
from agentcg.policy.thinning import thinned
from agentcg.telemetry import recall
from agentcg.telemetry.dayfile import Span
from agentcg.telemetry.store import Store

# Without a bound: the last hour of a session, the last day for statistics.
SESSION_PAST = 3600.0
STATS_PAST = 86400.0
# Not now: the time of day may have been put back meanwhile.
_NEVER = 1e12


async def call(core: Core, record: Call, window: Window, asker: SessionId | None) -> Trace:
    """The course of a call."""
    store = _store(core)
    span = _span(core, window, None)
    async with core.recalling.turn(asker):
        return await core.blocking(_call, store, record, span, window.points)


def _call(store: Store, record: Call, span: Span, points: int) -> Trace:
    taken, cut = recall.samples(store, record.session, record.id, span)
    return Trace(
        record.session,
        record,
        record.grant.memory_limit,
        record.grant.memory_guarantee,
        tuple(thinned(taken, points)),
        tuple(recall.events(store, record.session, record.id, span)),
        len(taken),
        cut,
        store.lost,
    )


async def session(
    core: Core,
    name: SessionId,
    live: LiveSession | None,
    window: Window,
    asker: SessionId | None,
) -> Trace:
    """The course of a session; `live` is None for one that is closed.

    The administrator's view of a name goes back to those who had it before.

    Raises:
        NotFoundError: it is closed, and nothing of it is remembered.
    """
    store = _store(core)
    span = _span(core, window, SESSION_PAST)
    if live is not None and asker is not None:
        # A session of the same name may have been before it: that is another's business.
        span = Span(max(span.since, live.record.created_at), span.until)
    limit = None if live is None else live.limit
    async with core.recalling.turn(asker):
        found = await core.blocking(_session, store, name, span, limit, window.points)
    if live is None and not found.taken and not found.events:
        raise NotFoundError(
            f"session {name[:80]!r}: not open, and of that time nothing is remembered of it"
        )
    return found


def _session(store: Store, name: SessionId, span: Span, limit: int | None, points: int) -> Trace:
    taken, cut = recall.samples(store, name, "", span)
    return Trace(
        name,
        None,
        limit,
        0,
        tuple(thinned(taken, points)),
        tuple(recall.events(store, name, None, span)),
        len(taken),
        cut,
        store.lost,
    )


async def stats(
    core: Core, asker: LiveSession | None, window: Window, kind: str | None
) -> Sequence[KindStats]:
    """Closed calls by class of command: all, or those of one session since it was opened."""
    store = _store(core)
    span = _span(core, window, STATS_PAST)
    name = None
    if asker is not None:
        name = asker.record.id
        span = Span(max(span.since, asker.record.created_at), span.until)

    def count() -> Sequence[KindStats]:
        return quantiles.by_kind(recall.accounts(store, name, kind, span))[: window.points]

    async with core.recalling.turn(name):
        return await core.blocking(count)


async def lived(core: Core, window: Window) -> Sequence[Call]:
    """The records of calls that were open at some moment of that time, newest first."""
    span = _span(core, window, SESSION_PAST)
    path = core.settings.paths.state / "journal.sqlite"
    async with core.recalling.turn(None):
        return await core.blocking(pastcalls.alive, path, span.since, span.until, window.points)


def _span(core: Core, window: Window, past: float | None) -> Span:
    until = _NEVER if window.until is None else window.until
    since = 0.0 if past is None else core.now() - past
    return Span(since if window.since is None else window.since, until)


def _store(core: Core) -> Store:
    store = core.recorder.store
    if store is None:
        raise UnsupportedError("nothing is recorded here: set traces.enabled in the configuration")
    return store
