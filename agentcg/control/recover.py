"""After a start: take up what lives, write down what died meanwhile, tidy what nobody knows.

The kernel is the truth about what exists, the journal about what it was meant to be. Where they
disagree the rule is: a leaf without a record is killed, a record without a leaf is closed.
"""

import contextlib
import logging
from dataclasses import replace

from agentcg.control import closing, granting, running, sessions
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.enforce import remove
from agentcg.errors import AgentcgError, CgroupError, ProcessGoneError
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import ALIVE, Call, CallState
from agentcg.model.event import Kind
from agentcg.model.outcome import Cause
from agentcg.model.sample import Counters
from agentcg.model.session import Runtime, Session
from agentcg.policy.verdict import Evidence, conclude
from agentcg.sandbox import bare, splitting, tree
from agentcg.telemetry import counters

log = logging.getLogger("agentcg")

_GOES_WITHIN = 2.0


async def recover(core: Core) -> None:
    """Bring the books and the kernel together. Called once, before the doors open."""
    calls = core.journal.open_calls()
    adopted = 0
    for record in core.journal.open_sessions():
        session = await _session(core, record)
        if session is None:
            core.journal.put_session(record, is_open=False)
            continue
        for call in [c for c in calls if c.session == record.id]:
            try:
                adopted += await _call(core, session, call)
            except AgentcgError as e:
                core.tell(Kind.DAEMON, e.message, session=record.id, call=call.id)
        await core.blocking(_tidy, session)
    for call in calls:
        if call.session not in core.state.sessions:
            _lost(core, call)
    await core.blocking(_tidy_bare, core)
    for session in list(core.state.sessions.values()):
        session.on_idle()
    if calls:
        core.tell(Kind.DAEMON, f"restarted: {adopted} of {len(calls)} open calls go on")


async def _session(core: Core, record: Session) -> LiveSession | None:
    """Take up a session whose very cgroup (by id, not by name) still exists."""
    try:
        session_tree = await core.blocking(_reopen, core.root, record)
        if session_tree is None:
            return None
        record = replace(record, cgroup_id=session_tree.session.id)
        return await sessions.enlist(core, record, session_tree)
    except CgroupError as e:
        core.tell(Kind.DAEMON, f"session not taken up: {e.message}", session=record.id)
        return None


def _reopen(root: CgroupDir, record: Session) -> tree.Tree | None:
    try:
        session = root.open_path(record.cgroup)
    except CgroupError:
        return None
    # A bare session whose making was cut short has no id yet; its directory is ours all the same.
    if record.cgroup_id not in (session.id, 0):
        session.close()
        return None
    return splitting.whole(session) if record.observe_only else splitting.split(session)


async def _call(core: Core, session: LiveSession, record: Call) -> int:
    """Take up one call; 1 if it goes on."""
    live = LiveCall(record, session)
    live.calls_oom, live.session_oom = record.calls_oom, record.session_oom
    core.state.add_call(live)
    leaf = await core.blocking(_leaf, session, record)
    if leaf is None:
        core.state.drop_call(live)
        _lost(core, record)
        return 0
    core.state.add_leaf(live, leaf)
    await core.blocking(granting.govern, core, session, leaf, record)
    await core.blocking(granting.hand_over, core, leaf)
    live.record = replace(record, cgroup_id=leaf.id)
    running.watch(core, live)
    populated = await core.blocking(leaf.populated)
    if record.state is CallState.DECLARED:
        # Placed, or about to be, when the daemon died: what is in the leaf is the call.
        if populated:
            pids = await core.blocking(leaf.pids)
            running.started(core, live, pids[0] if pids else None, None)
            record = live.record
        elif record.by_peer:
            # The daemon died before it moved the peer, or between that and the next line of its
            # journal; then the command has run here and is gone, how is not known.
            if await core.blocking(counters.cpu_seconds, leaf):
                running.started(core, live, None, None)
                await running.end(core, live)
            else:
                await closing.close(core, live)
            return 0
        else:
            running.arm_start(core, live)
            return 1
    if record.state in ALIVE:
        await _resume(core, live)
    elif populated:
        running.arm_linger(core, live)
    else:
        await closing.close(core, live)
    return int(not live.closed.is_set())


def _leaf(session: LiveSession, record: Call) -> CgroupDir | None:
    try:
        leaf = session.tree.calls.child(record.id)
    except CgroupError:
        return None
    if record.cgroup_id not in (leaf.id, None):
        leaf.close()
        return None
    return leaf


async def _resume(core: Core, live: LiveCall) -> None:
    """Follow a running call's main process again, if it is still the same process."""
    running.arm_deadline(core, live)
    pid = live.record.pid
    if pid is None:
        if live.leaf is not None and not await core.blocking(live.leaf.populated):
            await running.end(core, live)
        return
    if core.exits is not None:
        core.exits.watch(pid)
    try:
        live.pidfd = pidfds.open(pid, live.record.start_ticks)
    except ProcessGoneError:
        # It ended while nobody watched: how is not known, and the outcome says so.
        if core.exits is not None:
            core.exits.take(pid)
        await running.end(core, live)
        return
    core.spawn(running.follow(core, live))


def _lost(core: Core, record: Call) -> None:
    """Close the record of a call whose leaf is gone: after a reboot, or with its container."""
    if record.outcome is None:
        known = replace(record, ended_at=core.now())
        cause = Cause.NEVER_STARTED if record.started_at is None else None
        outcome = conclude(known, Evidence(usage=Counters(), killed_for=cause, ended_at=core.now()))
        record = replace(known, outcome=outcome)
    record = replace(record, state=CallState.CLOSED, closed_at=core.now())
    core.journal.put_call(record)
    core.recorder.closed(record)
    core.tell(Kind.CALL_CLOSED, "its cgroup is gone", session=record.session, call=record.id)


def _tidy(session: LiveSession) -> None:
    """Leaves that no record knows: nobody will ever ask for them, so they go."""
    if session.record.observe_only is not None:
        return  # the children there are not ours
    known = {str(c) for c in session.calls}
    for name in session.tree.calls.children():
        if name not in known:
            _scrap(session.tree.calls, name)


def _tidy_bare(core: Core) -> None:
    """Bare sessions that no record knows, left by a daemon that died between two steps."""
    path = core.settings.cgroup.bare_parent
    known = {
        str(s.record.id) for s in core.state.sessions.values() if s.record.runtime is Runtime.BARE
    }
    with bare.parent(core.root, path) as home:
        for name in home.children():
            with contextlib.suppress(AgentcgError), home.child(name) as stray:
                if name not in known and tree.AGENT in stray.children():
                    stray_tree = tree.Tree(
                        stray, stray.child(tree.AGENT), stray.make(tree.CALLS, exist_ok=True)
                    )
                    bare.give_back(stray_tree, "", root=core.root)
                    _scrap(home, name)


def _scrap(parent: CgroupDir, name: str) -> None:
    try:
        if remove.end(parent, name, _GOES_WITHIN):
            return
        why = f"still busy {_GOES_WITHIN:g} s after its processes were killed"
    except AgentcgError as e:
        why = e.message
    log.warning("%s/%s, which no record knows, stays: %s", parent.path, ascii(name), why)
