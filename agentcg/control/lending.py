"""Leases of GPU memory as the doors and the calls see them.

The ledger (`control/leasing.py`) is the truth about a lease. A call's record says how the lease
stood when the call was declared, or when the wait for it was over.
"""

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from agentcg.api.controller import Caller, Role
from agentcg.control import rights
from agentcg.control.core import Core
from agentcg.control.freezing import leaf_of
from agentcg.control.state import LiveCall
from agentcg.errors import (
    AgentcgError,
    BadValueError,
    ConflictError,
    DeniedError,
    LimitError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from agentcg.intent.kinds import kind_of
from agentcg.model.call import ALIVE, Call, CallState
from agentcg.model.event import Kind
from agentcg.model.gpu import GpuView, GpuWish, Lease, LeaseState, OnDeny, Program, ProgramPhase
from agentcg.model.grant import GPU, Grant
from agentcg.model.ids import CallId, LeaseId, ProgramId, SessionId
from agentcg.model.wire_gpu import LeasePatchBody, ProgramBody
from agentcg.policy import lease_words, lent
from agentcg.policy.lent import Part

if TYPE_CHECKING:
    from agentcg.control.leasing import Leases

log = logging.getLogger("agentcg")

# acg waits 10 s for its answer, and then runs the command without a call.
WITHIN = 8.0
# Others are answered that they are in the queue; the engine often has made room by then.
SOON = 2.0
_NO_LONGER = f"there was no room within {WITHIN:g} s, and a command that starts waits no longer"
_WAITS = frozenset({LeaseState.QUEUED, LeaseState.SHRINKING})
_OVER = frozenset({LeaseState.EXPIRING, LeaseState.RELEASED, LeaseState.DENIED})


async def grant(core: Core, live: LiveCall) -> None:
    """Have the lease that a call's intent asks for, and say in its grant what became of it.

    A command that is about to start cannot take up what comes later, and who starts it waits no
    longer than acg does: then the ask is over. Any other ask goes on.
    """
    wish = live.record.intent.gpu
    if wish is None:
        return
    if core.leases is None:
        _say(core, live, lent.unleased(lent.OFF))
        return
    _tool(core, live, ProgramPhase.TOOL_START)
    try:
        if live.record.by_peer and not live.record.observed:
            # From its declaration on; the time of day may have been set meanwhile.
            since = min(max(0.0, core.now() - live.record.declared_at), WITHIN)
            found = await _in_time(core.leases, live, wish, WITHIN - since)
        else:
            found = await _ask(core, core.leases, live, wish, SOON)
        _say(core, live, _leased(core, found))
    except AgentcgError as e:
        _say(core, live, lent.denied(lease_words.denied(wish, e.message, 0.0)))


def refused(live: LiveCall) -> str:
    """Why the command of a call is not to run at all: it asked for that, should it get no lease."""
    part, wish = live.gpu, live.record.intent.gpu
    if part is None or wish is None or wish.on_deny is not OnDeny.FAIL:
        return ""
    return part.note if part.env.get(lent.VISIBLE) == "" else ""


def kept(core: Core, live: LiveCall, grant: Grant) -> Grant:
    """A grant that was made anew, with what the call has of GPU memory."""
    part = live.gpu
    if part is None and core.leases is not None and live.record.intent.gpu is not None:
        held = core.leases.of_call(live.record.id)
        part = _leased(core, held[-1]) if held else None
    return grant if part is None else lent.within(grant, part, None)


def _leased(core: Core, lease: Lease) -> Part:
    return lent.leased(lease, None if core.gpus is None else core.gpus.shim)


def _say(core: Core, live: LiveCall, part: Part) -> None:
    live.record = replace(live.record, grant=lent.within(live.record.grant, part, live.gpu))
    live.gpu = part
    core.journal.put_call(live.record)


def restarted(core: Core, live: LiveCall) -> None:
    """Have a call that waited, by its grant, when the daemon before this one ended know of that."""
    record, wish = live.record, live.record.intent.gpu
    if core.leases is None or wish is None:
        return
    queued = Lease(LeaseId("g-0"), record.session, record.id, wish, LeaseState.QUEUED, core.now())
    if record.grant.enforced.get(GPU) != lent.leased(queued).enforced:
        return
    if held := core.leases.of_call(record.id):
        # Granted, and the grant not written yet.
        _say(core, live, _leased(core, held[0]))
    else:
        _say(core, live, lent.denied(lease_words.RESTARTED))
        core.tell(
            Kind.GPU_DENIED,
            lease_words.RESTARTED,
            session=record.session,
            call=record.id,
            data={"lease": None, "asked": wish.memory},
        )


async def _in_time(leases: "Leases", live: LiveCall, wish: GpuWish, within: float) -> Lease:
    """The lease, unless that takes too long: then it is withdrawn, granted just now or not."""
    record = live.record
    try:
        async with asyncio.timeout(within):
            return await leases.ask(
                record.session, record.id, leaf_of(live), wish, record.grant.priority
            )
    except TimeoutError:
        raise UnavailableError(_NO_LONGER) from None


async def _ask(core: Core, leases: "Leases", live: LiveCall, wish: GpuWish, within: float) -> Lease:
    """The lease once it is decided on, or as it stands after a while: then it is waited for on."""
    record, leaf = live.record, leaf_of(live)
    asking = asyncio.ensure_future(
        leases.ask(record.session, record.id, leaf, wish, record.grant.priority)
    )
    try:
        done, _ = await asyncio.wait({asking}, timeout=within)
    except asyncio.CancelledError:
        asking.cancel()
        raise
    waiting = [one for one in leases.of_call(record.id) if one.state in _WAITS]
    if done or not waiting:
        return await asking
    core.spawn(_later(core, live, wish, asking))
    return waiting[-1]


async def _later(
    core: Core, live: LiveCall, wish: GpuWish, asking: "asyncio.Future[Lease]"
) -> None:
    found = await asking
    if live.record.intent.gpu == wish and not live.closed.is_set():
        _say(core, live, _leased(core, found))


def over(core: Core, live: LiveCall, *, left: bool) -> None:
    """A call has ended: its leases too. What is `left` of it gets the grace that any lease has."""
    if core.leases is None:
        return
    leases, call = core.leases, live.record.id
    _tool(core, live, ProgramPhase.TOOL_END)
    result = live.record.outcome
    if not left and result is not None and result.wall is not None:
        leases.tool_took(_kind(live.record), result.wall)
    if not leases.of_call(call):
        return
    if not left:
        core.spawn(leases.call_ended(call))
        return
    for one in leases.of_call(call):
        if one.state not in _OVER:
            core.spawn(_released(leases, one.id))


async def _released(leases: "Leases", lease: LeaseId) -> None:
    await leases.release(lease)


def _tool(core: Core, live: LiveCall, phase: ProgramPhase) -> None:
    """The engine is told what the daemon sees: the call is a tool at work for a program."""
    record = live.record
    wish = record.intent.gpu
    if core.leases is None or wish is None or wish.program is None:
        return
    leases, program = core.leases, wish.program
    tool = _kind(record)

    async def tell() -> None:
        eta = record.intent.duration if phase is ProgramPhase.TOOL_START else None
        await leases.program_event(record.session, program, phase, tool=tool, eta=eta)

    core.spawn(tell())


def _kind(record: Call) -> str:
    return kind_of(record.intent.command, record.intent.tool)


async def view(core: Core, caller: Caller) -> GpuView:
    """What there is, and of the leases those that the caller may see."""
    if caller.role is Role.NOBODY:
        raise DeniedError("this process is in no session: nothing here is its business")
    found = await _leases(core).look()
    if caller.role is Role.ADMIN:
        return found
    # Processes are of others, by the host's numbers.
    return replace(
        found,
        devices=tuple(replace(one, processes=()) for one in found.devices),
        engine=None if found.engine is None else replace(found.engine, pids=()),
        leases=tuple(one for one in found.leases if rights.sees_lease(core, caller, one)),
    )


async def ask_for(core: Core, caller: Caller, call: CallId | None, wish: GpuWish) -> Lease:
    """A lease for an open call."""
    leases = _leases(core)
    named = call or caller.call
    if named is None:
        raise BadValueError("call: say for which call; only a call's own process need not")
    live = rights.open_call(core, caller, named)
    if live.state not in ALIVE and live.state is not CallState.DECLARED:
        raise ConflictError(f"call {named} is {live.state.value}: it needs no GPU memory any more")
    return await _ask(core, leases, live, wish, SOON)


def lease(core: Core, caller: Caller, wanted: LeaseId) -> Lease:
    """One lease that the caller may see."""
    leases = _leases(core)
    unknown = NotFoundError(f"lease {wanted!r}: no such lease, or not yours; see `agentcg gpu`")
    try:
        found = leases.lease(wanted)
    except NotFoundError:
        raise unknown from None
    if not rights.sees_lease(core, caller, found):
        raise unknown
    return found


async def change(core: Core, caller: Caller, wanted: LeaseId, body: LeasePatchBody) -> Lease:
    """Another size, or more time, for a lease."""
    found = lease(core, caller, wanted)
    try:
        async with asyncio.timeout(WITHIN):
            return await _leases(core).change(found.id, memory=body.memory, extend=body.extend)
    except TimeoutError:
        more = body.memory is None or body.memory > found.bytes
        what = "no room for more" if more else "no answer of what holds it"
        raise LimitError(
            f"lease {found.id}: there was {what} within {WITHIN:g} s, and it is as it was"
        ) from None


async def release(core: Core, caller: Caller, wanted: LeaseId) -> Lease:
    """The end of a lease."""
    found = lease(core, caller, wanted)
    return await _leases(core).release(found.id)


async def program(
    core: Core, caller: Caller, session: SessionId | None, name: ProgramId, body: ProgramBody
) -> Program:
    """What a program does, which is its session's to tell."""
    leases = _leases(core)
    owner = session or caller.session
    if owner is None:
        raise BadValueError("session: say whose program it is; only a session's own need not")
    live = rights.session_of(core, caller, owner)
    tool = None if body.tool is None else kind_of(body.tool, body.tool)
    return await leases.program_event(
        live.record.id, name, body.event, kv_bytes=body.kv_bytes, tool=tool, eta=body.eta
    )


def _leases(core: Core) -> "Leases":
    if core.leases is None:
        raise UnsupportedError(f"no GPU memory is leased here: {lent.OFF}")
    return core.leases
