"""The first half of a call's life: declared, given a leaf, started, changed, frozen."""

import asyncio
import contextlib
import os
from dataclasses import replace

from agentcg.api.controller import Peer
from agentcg.control import closing, entering, granting, guarantees, learning, lending, running
from agentcg.control.core import Core
from agentcg.control.freezing import leaf_of
from agentcg.control.state import LiveCall, LiveSession
from agentcg.enforce import limits
from agentcg.errors import AgentcgError, BadValueError, ConflictError
from agentcg.intent.redact import stored
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import ALIVE, Call, CallState
from agentcg.model.event import Kind
from agentcg.model.grant import GUARANTEE, Grant
from agentcg.model.ids import CallId, mint_call_id
from agentcg.model.intent import Intent
from agentcg.model.wire import CallPatchBody
from agentcg.policy.admit import Defaults, Room, admit
from agentcg.sandbox import tree
from agentcg.telemetry import counters

_LATE = (
    "nobody declared it: the observer saw it run, and what it used before it was placed counts as "
    "the agent's"
)


async def declare(
    core: Core, session: LiveSession, intent: Intent, peer: Peer | None, *, observed: bool = False
) -> LiveCall:
    """Grant a call and make its leaf; with `peer`, move that waiting process into it.

    `observed`: the peer does not wait, it runs in the agent's cgroup already.

    Everything before the first await is bookkeeping, so that two declarations at once cannot
    both take the last of a budget. The journal knows of the call before the kernel does.
    """
    if intent.key is not None and (known := core.state.by_key(session, intent.key)) is not None:
        return await _again(core, known, peer, observed=observed)
    if session.closing:
        raise ConflictError(f"session {session.record.id} is closing: open a new one")
    if session.record.observe_only is not None:
        raise ConflictError(
            f"session {session.record.id} is only observed, no call is placed in it: "
            f"{session.record.observe_only}"
        )
    intent = replace(intent, command=stored(intent.command, core.settings.store_commands))
    learned = learning.of(core, session, intent, observed=observed)
    grant = admit(intent, session.record, _room(session), _defaults(core), learned)
    if observed:
        grant = replace(grant, notes=(*grant.notes, _LATE))
    record = Call(
        _mint(core),
        session.record.id,
        intent,
        grant,
        declared_at=core.now(),
        by_peer=peer is not None,
        observed=observed,
    )
    live = LiveCall(record, session)
    core.state.add_call(live)
    core.journal.put_call(live.record)
    async with live.lock:
        try:
            with entering.expected(core, peer):
                leaf, enforced, took = await core.blocking(_make, core, live, peer)
        except BaseException:
            await asyncio.shield(_undo(core, live))
            raise
        core.state.add_leaf(live, leaf)
        live.record = replace(
            live.record,
            grant=replace(grant, enforced=enforced),
            cgroup_id=leaf.id,
            placement=took,
            calls_oom=live.calls_oom,
            session_oom=live.session_oom,
        )
        running.watch(core, live)
        core.tell(
            Kind.CALL_DECLARED, _words(live.record), session=session.record.id, call=live.record.id
        )
        if peer is None:
            running.arm_start(core, live)
            core.journal.put_call(live.record)
        else:
            _started(core, live, peer)
        await guarantees.hold(core, live)
    core.stir()
    await lending.grant(core, live)
    return live


async def _again(
    core: Core, live: LiveCall, peer: Peer | None, *, observed: bool = False
) -> LiveCall:
    """The same key again: the same call, which may now be started."""
    async with live.lock:
        if live.closed.is_set():
            raise ConflictError(
                f"call_id {live.record.intent.key!r}: its call just closed; declare it again"
            )
        if peer is None:
            return live
        if live.state is not CallState.DECLARED or live.leaf is None:
            raise ConflictError(
                f"call {live.record.id} (call_id {live.record.intent.key!r}) is "
                f"{live.state.value} already: declare a new call_id"
            )
        with entering.expected(core, peer):
            enter = entering.take if observed else entering.place
            took = await core.blocking(enter, core, live.leaf, live.session.tree.agent, peer)
        live.record = replace(live.record, placement=took)
        _started(core, live, peer)
    return live


async def join(core: Core, session: LiveSession, call: str, peer: Peer) -> LiveCall:
    """Place one more process into a call that runs; its main process stays what it was.

    Raises:
        BadValueError: the session has no such call, or it is over. Who asked for the limits of one
            must not run without because they were reached.
    """
    live = session.calls.get(CallId(call))
    if live is None:
        raise BadValueError(f"option --join {call[:80]!r}: no call of this session that is open")
    async with live.lock:
        if live.state not in ALIVE or live.killed_for is not None:
            raise BadValueError(
                f"option --join: call {call} is {live.state.value}, nothing more runs in it"
            )
        agent = session.tree.agent
        await core.blocking(entering.place, core, leaf_of(live), agent, peer, joins=True)
    return live


def _make(
    core: Core, live: LiveCall, peer: Peer | None
) -> tuple[CgroupDir, dict[str, str], float | None]:
    """Make, limit and fill the leaf: all the kernel work of a call, in one go, in a thread."""
    session = live.session
    live.calls_oom = counters.own_oom(session.tree.calls)
    live.session_oom = counters.own_oom(session.tree.session)
    leaf = tree.leaf(session.tree, live.record.id)
    try:
        grant = live.record.grant
        enforced = limits.apply(leaf, grant, core.host)
        enforced |= granting.govern(core, session, leaf, live.record)
        took = None
        if peer is not None:
            enter = entering.take if live.record.observed else entering.place
            took = enter(core, leaf, session.tree.agent, peer)
    except BaseException:
        leaf.close()
        raise
    return leaf, enforced, took


async def _undo(core: Core, live: LiveCall) -> None:
    """Take back a call whose making failed; what cannot be moved out of its leaf stays a call."""
    leaf = await closing.undo(core, live)
    if leaf is None:
        return
    core.state.add_leaf(live, leaf)
    live.record = replace(live.record, cgroup_id=leaf.id)
    running.watch(core, live)
    running.started(core, live, None, None)
    # The last may have left it before anybody watched.
    running.look(core, live)


def _started(core: Core, live: LiveCall, peer: Peer) -> None:
    start_ticks = None
    with contextlib.suppress(AgentcgError):
        start_ticks = procfs.start_time(peer.pid)
    live.pidfd = os.dup(peer.pidfd)
    running.started(core, live, peer.pid, start_ticks)
    core.spawn(running.follow(core, live))


async def patch(core: Core, live: LiveCall, body: CallPatchBody) -> None:
    """Change an open call's limits, within the session's budget, as a fresh admission would."""
    async with live.lock:
        old = live.record
        if old.state not in ALIVE and old.state is not CallState.DECLARED:
            raise ConflictError(f"call {old.id} is {old.state.value}: its limits no longer matter")
        change = body.intent_of(old.intent)
        learned = learning.of(core, live.session, change, observed=old.observed)
        room = _room(live.session, but=old.id)
        grant = admit(change, live.session.record, room, _defaults(core), learned)
        leaf = leaf_of(live)
        # Booked before the await, so that no other admission takes the same bytes meanwhile.
        live.record = replace(old, intent=change, grant=grant)
        try:
            # Lowering a limit reclaims at once. One at a time, so that a session which does that
            # on and on holds up itself alone.
            async with live.session.reclaim:
                enforced = await core.reclaiming(limits.apply, leaf, grant, core.host)
            enforced |= await core.blocking(granting.govern, core, live.session, leaf, live.record)
        except BaseException:
            live.record = old
            raise
        grant = lending.kept(core, live, replace(grant, enforced=enforced))
        live.record = replace(live.record, grant=grant)
        await guarantees.hold(core, live, old=old.grant)
        core.stir()
        core.journal.put_call(live.record)
        if live.state is not CallState.DECLARED:
            running.arm_deadline(core, live)
        core.tell(Kind.CALL_CHANGED, _words(live.record), session=old.session, call=old.id)


def _room(session: LiveSession, *, but: CallId | None = None) -> Room:
    others = [c.record.grant for c in session.calls.values() if c.record.id != but]
    load: dict[int, int] = {}
    for grant in others:
        for cpu in grant.cpus or ():
            load[cpu] = load.get(cpu, 0) + 1
    return Room(
        calls_limit=None if session.caps is None else session.caps.calls_memory,
        guaranteed=sum(g.memory_guarantee for g in others),
        open_calls=len(others),
        cpus=session.cpus,
        cpu_load=load,
        learned=sum(g.memory_guarantee for g in others if GUARANTEE in g.source),
    )


def _defaults(core: Core) -> Defaults:
    calls = core.settings.calls
    return Defaults(calls.memory_limit, calls.pids, calls.deadline)


def _mint(core: Core) -> CallId:
    while True:
        minted = mint_call_id()
        if minted not in core.state.calls and core.journal.call(minted) is None:
            return minted


def _words(call: Call) -> str:
    grant: Grant = call.grant
    return f"{call.intent.tool} limit={grant.memory_limit} guarantee={grant.memory_guarantee}"
