"""Everything that the daemon has recorded of a time: samples piece by piece, events by session.

What is forgotten while it is asked for is left out and told.
"""

from collections.abc import Callable, Iterator
from functools import partial

from agentcg.cli import past, pieces
from agentcg.cli.recording.lines import FORMAT, STRETCH, Course, Head, Record
from agentcg.client import Client
from agentcg.errors import NotFoundError
from agentcg.model.call import Call
from agentcg.model.sample import Sample
from agentcg.model.trace import Window

Tell = Callable[[str], None]


def records(daemon: Client, since: float, until: float, tell: Tell) -> Iterator[Record]:
    """The records of a time; `tell` is told what is left out, and why."""
    yield Head(FORMAT, since, until, daemon.host())
    views = daemon.sessions()
    yield from views
    calls = _lived(daemon, since, until)
    yield from calls
    sessions: dict[str, list[Call]] = {view.session.id: [] for view in views}
    for one in past.sessions(daemon, since, until, None):
        sessions.setdefault(one.session, [])
    for call in calls:
        sessions.setdefault(call.session, []).append(call)
    for name, mine in sorted(sessions.items()):
        yield from _course(partial(daemon.session_trace, name), name, None, (since, until), tell)
        for call in mine:
            read = partial(daemon.call_trace, call.id)
            yield from _course(read, name, call.id, (since, until), tell)


def _lived(daemon: Client, since: float, until: float) -> list[Call]:
    """All calls that lived then, oldest first; a page is the newest of them.

    A page may be short and yet not the last: records that cannot be read are not in it.
    """
    found: dict[str, Call] = {}
    while True:
        page = daemon.lived(Window(since, until, past.PAGE))
        new = {str(call.id): call for call in page if call.id not in found}
        if not new:
            return sorted(found.values(), key=lambda call: call.declared_at)
        found |= new
        until = min(call.lifetime[0] for call in page)


def _course(
    read: pieces.Read, session: str, call: str | None, time: tuple[float, float], tell: Tell
) -> Iterator[Record]:
    """The samples of a session with its events, or of a call, whose events are among those."""
    samples: list[Sample] = []
    limit, whole = None, True
    try:
        for piece in pieces.pieces(read, *time):
            samples += piece.trace.samples
            whole &= piece.whole
            if call is None:
                limit = piece.trace.limit
                yield from piece.trace.events
            while len(samples) >= STRETCH:
                yield Course(session, call, tuple(samples[:STRETCH]), limit)
                del samples[:STRETCH]
    except NotFoundError as error:
        tell(f"left out: {error.message}")
    if not whole:
        tell(f"{call or session}: {pieces.LEFT_OUT}")
    if samples:
        yield Course(session, call, tuple(samples), limit)
