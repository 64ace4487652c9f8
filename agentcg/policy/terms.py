"""On what terms a cgroup's memory grows, where the governor holds bursts up.

A call inside its guarantee is never delayed, and what it has not used of that is kept free for it.
A call that is over lingers at the lowest priority, and nothing is kept for it.

Work outside calls is on the terms of the lowest priority too: not declaring must not be rewarded.
But the harness is in the same cgroup and must survive any call, so up to the reserve of the agent
(what it has settled at, and some; policy.caps) nothing is delayed. That is not kept free in the
pool: every session has one, hardly any is ever used, and they would make slack of no pool.
"""

from agentcg.model.call import ALIVE, Call, CallState
from agentcg.model.terms import Terms

LOWEST = -100


def of_call(call: Call) -> Terms:
    """The terms of a call, by its grant and where it is in its life."""
    if call.state in ALIVE or call.state is CallState.DECLARED:
        guarantee = call.grant.memory_guarantee
        return Terms(free=guarantee, kept=guarantee, priority=call.grant.priority)
    return Terms(free=0, kept=0, priority=LOWEST)


def of_agent(reserve: int) -> Terms:
    """The terms of an agent with a reserve of so many bytes."""
    return Terms(free=reserve, kept=0, priority=LOWEST)
