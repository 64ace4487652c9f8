"""What was recorded, for those who may see it; whether they may is decided before.

`asker` is the session that a query is of; None is the administrator.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from agentcg.control import pastcalls
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.errors import NotFoundError, UnsupportedError
from agentcg.model.call import Call
from agentcg.model.ids import SessionId
from agentcg.model.trace import Account, KindStats, Recorded, Trace, Window
from agentcg.policy import quantiles
from agentcg.policy.thinning import thinned
from agentcg.telemetry import recall
from agentcg.telemetry.dayfile import Span
from agentcg.telemetry.store import Store

# Without a bound: the last hour of a session, the last day for statistics and lists.
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
    limit = _closed_limit(core, name) if live is None else live.limit
    async with core.recalling.turn(asker):
        found = await core.blocking(_session, store, name, span, limit, window.points)
    if live is None and not found.taken and not found.events:
        raise NotFoundError(
            f"session {name[:80]!r}: not open, and of that time nothing is remembered of it"
        )
    return found


def _closed_limit(core: Core, name: SessionId) -> int | None:
    record = core.journal.session(name)
    return None if record is None else record.limit


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
    name, span = _scope(asker, None, _span(core, window, STATS_PAST))

    def count() -> Sequence[KindStats]:
        return quantiles.by_kind(recall.accounts(store, name, kind, span))[: window.points]

    async with core.recalling.turn(None if asker is None else asker.record.id):
        return await core.blocking(count)


async def lived(core: Core, window: Window) -> Sequence[Call]:
    """The records of calls that were open at some moment of that time, newest first."""
    span = _span(core, window, SESSION_PAST)
    path = core.settings.paths.state / "journal.sqlite"
    async with core.recalling.turn(None):
        return await core.blocking(pastcalls.alive, path, span.since, span.until, window.points)


async def accounts(
    core: Core,
    asker: LiveSession | None,
    session: SessionId | None,
    window: Window,
    before: str | None,
) -> Sequence[Account]:
    """Closed calls, newest first: of all, of one session, or of the asker since it was opened."""
    store = _store(core)
    name, span = _scope(asker, session, _span(core, window, STATS_PAST))
    async with core.recalling.turn(None if asker is None else asker.record.id):
        ask = partial(recall.accounts, before=before or recall.LAST)
        return await core.blocking(ask, store, name, None, span, window.points)


async def recorded(
    core: Core,
    asker: LiveSession | None,
    session: SessionId | None,
    window: Window,
    after: str | None,
) -> Sequence[Recorded]:
    """Sessions of which something was recorded, by name: all, one, or the asker."""
    store = _store(core)
    name, span = _scope(asker, session, _span(core, window, STATS_PAST))
    async with core.recalling.turn(None if asker is None else asker.record.id):
        found = await core.blocking(recall.recorded, store, name, span)
    behind = [one for one in found if after is None or one.session > after]
    # A chunk may have been begun by an earlier session of the name.
    return [replace(one, since=max(one.since, span.since)) for one in behind[: window.points]]


def _scope(
    asker: LiveSession | None, session: SessionId | None, span: Span
) -> tuple[SessionId | None, Span]:
    """What may be seen of what is asked for.

    A session of the same name may have been before it: that is another's business.

    Raises:
        NotFoundError: it is another's.
    """
    if asker is None:
        return session, span
    mine = asker.record
    if session not in (None, mine.id):
        raise NotFoundError(f"session {session!r}: not yours to see; leave it out for your own")
    return mine.id, Span(max(span.since, mine.created_at), span.until)


def _span(core: Core, window: Window, past: float | None) -> Span:
    until = _NEVER if window.until is None else window.until
    since = 0.0 if past is None else core.now() - past
    return Span(since if window.since is None else window.since, until)


def _store(core: Core) -> Store:
    store = core.recorder.store
    if store is None:
        raise UnsupportedError("nothing is recorded here: set traces.enabled in the configuration")
    return store
