"""The host as the daemon sees it: what was probed, and which sessions it cannot hold, and why."""

from agentcg import __version__
from agentcg.control import gpu
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.model.session import Runtime
from agentcg.model.view import Check, HostView
from agentcg.policy import targets
from agentcg.sandbox import managers


async def host_view(core: Core, *, sessions: bool) -> HostView:
    """What `agentcg doctor` shows; `sessions` too to those who may know of all of them."""
    host, state = core.host, core.state
    probed = [Check(m.name, m.works, m.detail) for m in host.mechanisms.values()]
    open_ones = list(state.sessions.values()) if sessions else []
    doubts = [(s.record.id, await _doubt(core, s)) for s in open_ones]
    told = [Check(f"session {name}", works=False, detail=why) for name, why in doubts if why]
    return HostView(
        version=__version__,
        tier="T0" if core.governor is None else "T1",
        kernel=host.kernel,
        memory_total=host.memory_total,
        cpus=len(host.cpus),
        mechanisms=(*probed, *gpu.checks(core), *told),
        counters={
            "sessions": len(state.sessions),
            "calls": len(state.calls),
            "fail_opens": state.fail_opens,
            "hooks": state.hooks,
            "hook_faults": state.hook_faults,
            "undeclared": state.undeclared,
            "observer_lost": 0 if core.observer is None else core.observer.lost,
            "journal_failed_writes": core.journal.failed_writes,
            "trace_samples_lost": 0 if core.recorder.store is None else core.recorder.store.lost,
        },
    )


async def _doubt(core: Core, session: LiveSession) -> str | None:
    """Why a session is outside of what can be held, if it is."""
    record = session.record
    if record.observe_only is not None:
        return f"only observed: {record.observe_only}"
    if record.runtime is Runtime.DOCKER:
        return record.way_out
    uids = await core.blocking(managers.uids, session.tree)
    return targets.ways_out(uids, await core.blocking(managers.user_managers, core.root, uids))
