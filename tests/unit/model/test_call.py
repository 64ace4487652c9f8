"""The life-cycle of a call."""

import itertools

import pytest

from agentcg.errors import ConflictError
from agentcg.model.call import ALIVE, OPEN, Call, CallState
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent

LEGAL = {
    ("declared", "running"),
    ("declared", "killed"),
    ("declared", "closed"),
    ("running", "frozen"),
    ("running", "exited"),
    ("running", "killed"),
    ("frozen", "running"),
    ("frozen", "exited"),
    ("frozen", "killed"),
    ("exited", "lingering"),
    ("exited", "closed"),
    ("killed", "lingering"),
    ("killed", "closed"),
    ("lingering", "closed"),
}


def call(state: CallState = CallState.DECLARED) -> Call:
    return Call(CallId("c-1"), SessionId("s-1"), Intent(), Grant(), state)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(CallState, CallState)))
def test_only_the_steps_of_the_life_cycle_are_possible(
    source: CallState, target: CallState
) -> None:
    if (source.value, target.value) in LEGAL:
        assert call(source).to(target).state is target
    else:
        with pytest.raises(ConflictError, match=f"is {source.value}: .* become {target.value}"):
            call(source).to(target)


def test_a_step_takes_its_figures_along_and_leaves_the_old_record_alone() -> None:
    old = call()
    new = old.to(CallState.RUNNING, started_at=5.0, pid=77)
    assert (new.started_at, new.pid, new.id) == (5.0, 77, "c-1")
    assert old.state is CallState.DECLARED


def test_a_closed_call_is_not_open_and_a_lingering_one_is_not_alive() -> None:
    assert CallState.CLOSED not in OPEN
    assert CallState.LINGERING in OPEN
    assert {CallState.RUNNING, CallState.FROZEN} == ALIVE
