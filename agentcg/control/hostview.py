"""The host as the daemon sees it: what was probed, and which sessions it cannot hold."""

from agentcg import __version__
from agentcg.control.core import Core
from agentcg.model.view import Check, HostView


def host_view(core: Core, *, sessions: bool) -> HostView:
    """What `agentcg doctor` shows; `sessions` too to those who may know of all of them."""
    host, state = core.host, core.state
    probed = [Check(m.name, m.works, m.detail) for m in host.mechanisms.values()]
    observed = [
        Check(f"session {s.record.id}", works=False, detail=f"only observed: {why}")
        for s in state.sessions.values()
        if sessions and (why := s.record.observe_only) is not None
    ]
    return HostView(
        version=__version__,
        tier="T0",
        kernel=host.kernel,
        memory_total=host.memory_total,
        cpus=len(host.cpus),
        mechanisms=(*probed, *observed),
        counters={
            "sessions": len(state.sessions),
            "calls": len(state.calls),
            "fail_opens": state.fail_opens,
            "journal_failed_writes": core.journal.failed_writes,
        },
    )
