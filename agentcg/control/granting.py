"""Tells the governor of grants; without one the grant says what holds it up instead.

In partial mode its scheduler has only what is handed to it: a call's processes, once in its
leaf. Work outside calls is not, it has the native limits alone: no thread of a harness is changed
that nobody asked to be placed, and what enters the container later could not be.
"""

import logging

from agentcg.control import stepping
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.enforce import place
from agentcg.errors import AgentcgError, BpfError, CgroupError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call
from agentcg.model.grant import ENFORCED, THROTTLE
from agentcg.model.terms import Terms
from agentcg.policy import terms
from agentcg.policy.caps import moved
from agentcg.policy.caps import reserve as reserve_for
from agentcg.policy.guarantees import within
from agentcg.telemetry import counters

log = logging.getLogger("agentcg")

COOPERATIVE = f"{ENFORCED}: cooperative, a process may leave by SCHED_OTHER for the native limits"
AMONG_PLACED = f"{ENFORCED}: among calls; what is not placed goes first"


def govern(core: Core, session: LiveSession, leaf: CgroupDir, call: Call) -> dict[str, str]:
    """Put a call's leaf under its grant; what to say of that in `enforced`. Blocks briefly."""
    pool = core.settings.cgroup.pool
    if core.governor is None:
        return stepping.knob(core, session)
    if not within(session.record.cgroup, pool):
        return {THROTTLE: f"unsupported: its session is not below {pool}"}
    try:
        _tell(core, session, leaf, terms.of_call(call))
    except AgentcgError as e:
        return {THROTTLE: f"unsupported: {e.message}"}
    if not core.governor.partial:
        return {THROTTLE: ENFORCED}
    weighed = counters.integer(leaf, "cpu.weight") is not None
    return {THROTTLE: COOPERATIVE} | ({"cpu.weight": AMONG_PLACED} if weighed else {})


def hand_over(core: Core, leaf: CgroupDir) -> None:
    """Have the scheduler, if it is in partial mode, take up what is in a leaf. Blocks briefly."""
    if core.governor is None or not core.governor.partial:
        return
    try:
        place.hand_over(leaf)
    except (OSError, CgroupError) as e:
        # The native limits hold it all the same.
        log.warning("%s: not handed to the scheduler: %s", leaf.path, e)


def govern_agent(core: Core, session: LiveSession) -> None:
    """Put the work outside calls on its terms, anew when the agent's reserve has moved."""
    settled, told = session.settled, session.free
    if core.governor is None or settled is None:
        return
    reserve = reserve_for(settled.memory)
    if not within(session.record.cgroup, core.settings.cgroup.pool) or not moved(told, reserve):
        return
    session.free = reserve
    try:
        _tell(core, session, session.tree.agent, terms.of_agent(reserve))
    except BpfError as e:
        # The caps of the session hold it all the same; said once for each time that it moves.
        log.warning("session=%s its undeclared work is not held up: %s", session.record.id, e)


def _tell(core: Core, session: LiveSession, cgroup: CgroupDir, what: Terms) -> None:
    if core.governor is not None:
        with core.root.open_path(core.settings.cgroup.pool) as pool:
            core.governor.govern(cgroup, session.tree.session, pool, what)
