"""Memory pressure told as events: PSI triggers on the pool and on each session's calls.

Never per call: each cgroup with a trigger costs the kernel a real-time thread
(Documentation/accounting/psi.rst).
"""

from agentcg.control.core import Core
from agentcg.errors import AgentcgError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.psi import Trigger
from agentcg.model.event import Kind
from agentcg.model.ids import SessionId
from agentcg.telemetry import counters

STALL_US = 200_000
# Without CAP_SYS_RESOURCE a window has to be a multiple of 2 s.
WINDOW_US = 2_000_000


async def follow(core: Core, cgroup: CgroupDir, session: SessionId | None) -> None:
    """Tell each time that tasks waited for memory 200 ms of 2 s, until the cgroup is gone."""
    try:
        trigger = Trigger.on(cgroup, "memory.pressure", stall_us=STALL_US, window_us=WINDOW_US)
    except AgentcgError as e:
        core.tell(Kind.DAEMON, f"no pressure events: {e.message}", session=session)
        return
    with trigger:
        async for _ in trigger:
            memory = counters.integer(cgroup, "memory.current")
            whose = "its calls wait for memory" if session else "the pool's tasks wait for memory"
            if session is not None and session in core.state.sessions:
                core.state.sessions[session].waited_at = core.now()
            core.stir()
            core.tell(Kind.PRESSURE, whose, session=session, data={"memory": memory})
