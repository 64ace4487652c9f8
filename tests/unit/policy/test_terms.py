"""The terms on which a cgroup's memory grows."""

import pytest

from agentcg.model.call import Call, CallState
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.terms import Terms
from agentcg.policy.terms import of_agent, of_call


def call(state: CallState) -> Call:
    grant = Grant(memory_guarantee=300, priority=20)
    return Call(CallId("c-1"), SessionId("s-1"), Intent(), grant, state)


@pytest.mark.parametrize("state", [CallState.DECLARED, CallState.RUNNING, CallState.FROZEN])
def test_a_call_is_free_inside_its_guarantee_which_is_kept_for_it(state: CallState) -> None:
    assert of_call(call(state)) == Terms(free=300, kept=300, priority=20)


@pytest.mark.parametrize("state", [CallState.EXITED, CallState.KILLED, CallState.LINGERING])
def test_a_call_that_is_over_comes_last(state: CallState) -> None:
    assert of_call(call(state)) == Terms(free=0, kept=0, priority=-100)


def test_an_agent_is_free_inside_its_reserve_and_comes_last_beyond() -> None:
    assert of_agent(500) == Terms(free=500, kept=0, priority=-100)
