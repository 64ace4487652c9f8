"""Who held the pool at a moment: all for the administrator, sums of others for a session."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentcg.model.call import Call
from agentcg.model.explanation import Holding, Whose

SHOWN = 8
SESSION = ""  # what stands for a call in a session's own figure

# Bytes by session and call.
Held = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: the administrator has no session; `call` is one that sees itself alone."""

    session: str | None = None
    call: str | None = None


ADMIN = Viewer()


def holders(
    call: Call, held: Held, known: Mapping[str, Call], at: float, viewer: Viewer
) -> tuple[Holding, ...]:
    """The largest first, the rest in sums.

    `known` are the records of the calls that lived about then: a reading of a call that was over by
    then is no use of the pool, and one of a call without a record counts as its session's own.
    """
    alive = {
        (session, name): memory
        for (session, name), memory in held.items()
        if name != SESSION and (name == call.id or _lives(known.get(name), at))
    }
    whole = {session: memory for (session, name), memory in held.items() if name == SESSION}
    found: list[Holding] = []
    apart: dict[str, int] = {}  # other sessions of which the viewer sees no more
    for session in {*whole, *(session for session, _ in alive)}:
        mine = {name: memory for (whose, name), memory in alive.items() if whose == session}
        total = max(whole.get(session, 0), sum(mine.values()))
        if viewer.session not in (None, session):
            apart[session] = total
            continue
        found += [
            _one(call, call if name == call.id else known[name], m, viewer)
            for name, m in mine.items()
        ]
        if outside := total - sum(mine.values()):
            found.append(Holding(Whose.OUTSIDE, outside, session))
    shown = _fewer(found, viewer)
    if apart:
        shown.append(Holding(Whose.SESSIONS, sum(apart.values()), count=len(apart)))
    return tuple(sorted(shown, key=lambda one: -one.memory))


def _one(call: Call, record: Call, memory: int, viewer: Viewer) -> Holding:
    if viewer.call not in (None, record.id):
        return Holding(Whose.CALL, memory)
    whose = Whose.THIS if record.id == call.id else Whose.CALL
    what = record.intent.command or record.intent.tool
    return Holding(whose, memory, record.session, record.id, what)


def _fewer(found: Iterable[Holding], viewer: Viewer) -> list[Holding]:
    """The call itself and the largest; what is left, and what has no name, is one sum."""
    ranked = sorted(found, key=lambda one: (one.whose is not Whose.THIS, -one.memory))
    shown = [one for one in ranked if one.session is not None][:SHOWN]
    if viewer.call is not None:
        shown = [one for one in shown if one.whose is Whose.THIS]
    rest = [one for one in ranked if one not in shown]
    if rest:
        shown.append(Holding(Whose.OTHERS, sum(one.memory for one in rest), count=len(rest)))
    return shown


def _lives(record: Call | None, at: float) -> bool:
    if record is None:
        return False
    begin, end = record.lifetime
    return begin <= at <= end
