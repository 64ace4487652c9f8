"""What the words propose can be had."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg import units
from agentcg.model.call import Call
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.policy.advice import Most, advise

MIB = 2**20
GIB = 2**30


def call(*, pids: int | None = 64, deadline: float | None = 5.0) -> Call:
    return Call(CallId("c-1"), SessionId("s-1"), Intent(), Grant(pids=pids, deadline=deadline))


def oom(limit: int | None, peak: int | None = None, level: Level = Level.CALL) -> Outcome:
    return Outcome(Cause.OOM, limit=limit, peak=peak, oom_kills=1, level=level)


def next_step(outcome: Outcome, most: Most, of: Call | None = None) -> str:
    return re.split(r"(?<=\.) (?=[A-Z])", advise(of or call(), outcome, most))[1]


@pytest.mark.parametrize(
    ("most", "asked"),
    [
        (None, "4 GiB"),
        (8 * GIB, "4 GiB"),
        (3 * GIB, "3 GiB"),
        (4 * GIB - 1, "3.9 GiB"),
        (int(2.2 * GIB) + 1, "2.2 GiB"),
    ],
)
def test_a_higher_limit_is_one_that_would_be_granted(most: int | None, asked: str) -> None:
    assert next_step(oom(2 * GIB), Most(most)) == (
        f"Run less at once (fewer test files, fewer workers), or ask for a limit of {asked}."
    )


@pytest.mark.parametrize("most", [2 * GIB, int(2.1 * GIB), GIB])
def test_where_there_is_no_more_the_operator_is_named(most: int) -> None:
    assert next_step(oom(2 * GIB), Most(most)) == (
        "Run less at once (fewer test files, fewer workers), or ask the operator to raise this "
        f"session's memory limit: its calls may use {units.format_bytes_within(most)} at most."
    )


def test_a_stalled_call_is_told_the_same() -> None:
    stalled = Outcome(Cause.STALL, limit=GIB, peak=GIB)
    assert next_step(stalled, Most()).endswith("or ask for a limit of 2 GiB.")
    assert next_step(stalled, Most(GIB)).endswith("its calls may use 1 GiB at most.")


def test_a_call_that_came_close_is_not_sent_for_more_than_there_is() -> None:
    outcome = Outcome(Cause.EXITED, exit_code=0, limit=GIB, peak=GIB)
    assert next_step(outcome, Most(int(1.5 * GIB))).endswith(
        "ask for a limit of 1.5 GiB next time."
    )
    assert next_step(outcome, Most(GIB)) == (
        "It came close to its limit of 1 GiB: run less at once next time, or ask the operator to "
        "raise this session's memory limit."
    )


def test_a_call_that_filled_the_cap_of_all_calls_by_itself_is_not_told_to_run_alone() -> None:
    alone = oom(4 * GIB, peak=4 * GIB, level=Level.CALLS)
    assert next_step(alone, Most(4 * GIB)).startswith("Run less at once")
    one_of_many = oom(4 * GIB, peak=GIB, level=Level.CALLS)
    assert next_step(one_of_many, Most(4 * GIB)).endswith("or run this one alone.")


@pytest.mark.parametrize(
    ("most", "words"),
    [
        (None, "ask for 128 pids."),
        (100, "ask for 100 pids."),
        (64, "ask the operator to raise the session's pids budget of 64."),
    ],
)
def test_pids_stay_within_the_budget(most: int | None, words: str) -> None:
    step = next_step(Outcome(Cause.PIDS, exit_code=1), Most(pids=most))
    assert step == f"Start fewer workers at once, or {words}"


def test_a_deadline_is_doubled_as_far_as_one_may_be_asked_for() -> None:
    late = Outcome(Cause.DEADLINE)
    assert next_step(late, Most()).endswith("or ask for a deadline of 10 s.")
    week = call(deadline=7 * 86400.0)
    assert next_step(late, Most(), week) == "Split the work into shorter calls."


@given(
    limit=st.none() | st.integers(0, 2**60),
    peak=st.none() | st.integers(0, 2**60),
    most=st.integers(0, 2**60),
    cause=st.sampled_from([Cause.OOM, Cause.STALL, Cause.EXITED]),
)
def test_no_limit_is_proposed_above_what_there_is(
    limit: int | None, peak: int | None, most: int, cause: Cause
) -> None:
    outcome = Outcome(cause, exit_code=0, limit=limit, peak=peak, level=Level.CALL)
    found = re.search(
        r"ask for a limit of ([0-9.]+ [KMGTP]?i?B)", advise(call(), outcome, Most(most))
    )
    if found is not None:
        assert units.parse_bytes(found[1]) <= most
        assert limit is None or units.parse_bytes(found[1]) > limit or limit == 0
