"""The learned class: what calls of the same class used stands in for what nobody declared.

Each closed call is taken in as it is recorded; after a restart the files of traces are read once,
in a thread. What is learned of a session goes with it. See docs/decisions/0018.
"""

from collections.abc import Sequence

from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.intent.kinds import kind_of
from agentcg.model.ids import SessionId
from agentcg.model.intent import Intent
from agentcg.model.trace import Account
from agentcg.policy.learned import Learned
from agentcg.telemetry import recall
from agentcg.telemetry.dayfile import Span
from agentcg.telemetry.store import Store

# Closed calls that are looked at after a restart: some tenths of a second of a thread.
PAST = 10_000
_EVER = Span(0.0, 1e12)
_ALL = ""
_NO_CLASS = "other"


def of(core: Core, live: LiveSession, intent: Intent, *, observed: bool) -> Learned | None:
    """What is learned for a call; None where it declares a guarantee, or nobody spoke of it at all.

    Its command is as it is stored. Not declaring must not be rewarded: who declares a limit alone
    has the same. A line that names no class has not that of its tool either: whatever else the
    tool ran would be of it.
    """
    wanted = core.settings.learned
    if wanted.scope == "none" or intent.memory.guarantee is not None:
        return None
    if observed and intent.key is None:
        return None
    if core.settings.store_commands in ("none", "hash"):
        return None
    kind = kind_of(intent.command, intent.tool if intent.command is None else _NO_CLASS)
    if kind == _NO_CLASS:
        return None
    scope, where = live.record.id, "in this session"
    if wanted.scope == "host":
        scope, where = SessionId(_ALL), "on this host"
    return core.learned.of(scope, kind, wanted.least, where)


def closed(core: Core, one: Account) -> None:
    """A call has closed."""
    if core.learned.meanwhile is not None:
        core.learned.meanwhile.add(one.call)
    scope = core.settings.learned.scope
    if scope == "host":
        core.learned.add(_ALL, one)
    elif scope == "session" and one.session in core.state.sessions:
        core.learned.add(one.session, one)


async def recall_past(core: Core, store: Store) -> None:
    """Take in what closed before this daemon: of all, or of the sessions that are open."""
    scope = core.settings.learned.scope
    past: Sequence[Account] = ()
    try:
        if scope != "none":
            async with core.recalling.turn(None):
                past = await core.blocking(recall.accounts, store, None, None, _EVER, PAST)
    finally:
        since = core.learned.meanwhile or set()
        core.learned.meanwhile = None
    past = [one for one in past if one.call not in since]
    if scope == "host":
        core.learned.before(_ALL, past)
        return
    for session in core.state.sessions.values():
        # One of the same name may have been before it: that is another's business.
        name, begun = session.record.id, session.record.created_at
        mine = [one for one in past if one.session == name and one.declared_at >= begun]
        core.learned.before(name, mine)
