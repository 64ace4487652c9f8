"""Calls that the journal has forgotten (`journal.keep`): what the store of traces knows of them."""

from agentcg.control.core import Core
from agentcg.model.call import Call, CallState
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent, MemoryWish
from agentcg.model.outcome import Outcome
from agentcg.model.trace import Account
from agentcg.telemetry import recall

_NOTE = "the journal has forgotten its record: this is what the store of traces has of it"


async def record(core: Core, call: CallId, asker: SessionId | None) -> Call | None:
    """A closed call as far as its account tells; None: there is none, or no store."""
    store = core.recorder.store
    if store is None:
        return None
    async with core.recalling.turn(asker):
        found = await core.blocking(recall.account, store, call)
    return None if found is None else _of(found)


def _of(one: Account) -> Call:
    # How long it waited for its start is not in it.
    end = one.declared_at + max(0.0, one.wall or 0.0)
    return Call(
        one.call,
        one.session,
        Intent(one.kind, memory=MemoryWish(one.asked_guarantee, one.asked_limit)),
        Grant(memory_limit=one.limit, memory_guarantee=one.guarantee, notes=(_NOTE,)),
        CallState.CLOSED,
        declared_at=one.declared_at,
        ended_at=end,
        closed_at=end,
        outcome=Outcome(
            one.cause,
            wall=one.wall,
            cpu=one.cpu,
            peak=one.peak,
            throttled=one.throttled,
            oom_kills=one.oom_kills,
            limit=one.limit,
            held=one.held,
        ),
    )
