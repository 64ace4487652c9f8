"""From evidence to an outcome and its advice."""

import re
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.model.call import Call
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.sample import Counters
from agentcg.policy.advice import Most
from agentcg.policy.verdict import Evidence, conclude
from tests.unit.policy.ends import BARE, CALM, GIB, MIB, call, end, exited, oom


def test_a_call_that_exits_is_told_its_code_time_and_peak() -> None:
    outcome = end(status=exited(0))
    assert outcome == Outcome(
        cause=Cause.EXITED,
        exit_code=0,
        wall=3.0,
        cpu=1.5,
        peak=GIB,
        throttled=0.0,
        oom_kills=0,
        limit=2 * GIB,
        advice="Ended with exit code 0 after 3 s, peak 1 GiB. No limit held it back.",
    )


def test_a_failure_of_its_own_is_sent_back_to_its_output() -> None:
    assert end(status=exited(2)).advice == (
        "Ended with exit code 2 after 3 s, peak 1 GiB. "
        "No limit held it back: look for the cause in its own output."
    )


def test_a_call_that_came_close_to_its_limit_is_told_to_ask_for_more() -> None:
    usage = Counters(peak=1950 * MIB, oom_kill=0)
    assert end(usage, status=exited(0)).advice == (
        "Ended with exit code 0 after 3 s, peak 1.9 GiB. "
        "It came close to its limit of 2 GiB: ask for a limit of 4 GiB next time."
    )


def test_a_call_that_cpu_limits_held_back_is_told_to_run_fewer_workers() -> None:
    usage = Counters(peak=MIB, oom_kill=0, throttled=1.0)
    assert end(usage, status=exited(0)).advice == (
        "Ended with exit code 0 after 3 s, peak 1 MiB. "
        "CPU limits held it back for 1 s: run fewer workers at once."
    )


def test_an_exit_on_a_host_without_controllers_leaves_the_figures_out() -> None:
    assert end(BARE, status=exited(1)).advice == (
        "Ended with exit code 1 after 3 s. "
        "No limit held it back: look for the cause in its own output."
    )


def test_a_signal_of_its_own_is_no_resource_limit() -> None:
    outcome = end(status=signal.SIGSEGV)
    assert (outcome.cause, outcome.signal, outcome.exit_code) == (Cause.SIGNALLED, 11, None)
    assert outcome.advice == (
        "Ended by SIGSEGV, not by a resource limit (peak 1 GiB, limit 2 GiB). "
        "Look for the cause in its own output."
    )


def test_a_core_dump_is_the_signal_it_came_from() -> None:
    assert end(status=signal.SIGABRT | 0x80).signal == 6


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert end(BARE, of=call(limit=None), status=60).advice == (
        "Ended by signal 60, not by a resource limit. Look for the cause in its own output."
    )


@pytest.mark.parametrize("status", [exited(137), signal.SIGKILL])
def test_exit_code_137_alone_is_never_an_oom(status: int) -> None:
    outcome = end(status=status)
    assert outcome.cause in {Cause.EXITED, Cause.SIGNALLED}
    assert outcome.level is None


def test_a_kill_on_a_host_that_counts_no_ooms_is_left_open() -> None:
    assert end(BARE, of=call(limit=None), status=signal.SIGKILL).advice == (
        "Ended by SIGKILL. This host does not tell whether memory was the cause: look in its own "
        "output, and run less at once if there is none."
    )


def test_an_oom_at_its_own_limit() -> None:
    outcome = end(oom(own=1), status=signal.SIGKILL, calls_oom=1, session_oom=1)
    assert (outcome.cause, outcome.level, outcome.oom_kills) == (Cause.OOM, Level.CALL, 1)
    assert outcome.advice == (
        "Killed for memory: it reached its own limit of 2 GiB with a peak of 1 GiB. "
        "Run less at once (fewer test files, fewer workers), or ask for a limit of 4 GiB."
    )


def test_an_oom_at_the_cap_of_all_calls() -> None:
    outcome = end(oom(), status=signal.SIGKILL, calls_oom=1, session_oom=1)
    assert (outcome.cause, outcome.level) == (Cause.OOM, Level.CALLS)
    assert (outcome.limit, outcome.level_limit) == (2 * GIB, 3 * GIB)
    assert outcome.advice == (
        "Killed for memory: this session's calls together reached their cap of 3 GiB while it used "
        "1 GiB of its own 2 GiB. Run fewer calls side by side, or run this one alone."
    )


def test_an_oom_at_the_sessions_limit() -> None:
    outcome = end(oom(), status=signal.SIGKILL, session_oom=1)
    assert (outcome.cause, outcome.level) == (Cause.OOM, Level.SESSION)
    assert (outcome.limit, outcome.level_limit) == (2 * GIB, 4 * GIB)
    assert outcome.advice == (
        "Killed for memory: the whole session reached its limit of 4 GiB while it used 1 GiB of "
        "its own 2 GiB. Run fewer calls side by side, or ask the operator to raise the session's "
        "limit."
    )


def test_an_oom_at_none_of_our_limits_is_the_hosts() -> None:
    outcome = end(oom(), status=signal.SIGKILL)
    assert (outcome.cause, outcome.level) == (Cause.OOM, Level.HOST)
    assert (outcome.limit, outcome.level_limit) == (2 * GIB, None)
    assert outcome.advice == (
        "Killed for memory: the host itself ran out while it used 1 GiB of its own 2 GiB; no limit "
        "of this session was reached. Try again later, or run less at once."
    )


def test_an_oom_kill_counts_even_if_the_main_process_lived_on_to_exit() -> None:
    outcome = end(oom(own=1), status=exited(1))
    assert (outcome.cause, outcome.exit_code) == (Cause.OOM, 1)


def test_an_oom_that_took_none_of_its_processes_is_not_its_cause() -> None:
    usage = Counters(peak=GIB, oom=3, oom_kill=0)
    outcome = end(usage, status=exited(0), calls_oom=1, session_oom=1)
    assert (outcome.cause, outcome.level, outcome.oom_kills) == (Cause.EXITED, None, 0)


def test_a_counter_above_that_was_reset_is_no_evidence() -> None:
    assert end(oom(), calls_oom=-1, session_oom=-2).level is Level.HOST


def test_an_oom_beats_the_kill_that_came_after_it() -> None:
    assert end(oom(own=1), killed_for=Cause.DEADLINE).cause is Cause.OOM


def test_an_oom_without_any_other_figure_leaves_them_out() -> None:
    usage = Counters(oom=1, oom_kill=1)
    assert end(usage, of=call(limit=None)).advice == (
        "Killed for memory: it reached its own limit. Run less at once (fewer test files, fewer "
        "workers), or ask for a higher limit."
    )


def test_a_stall_names_what_it_had() -> None:
    outcome = end(status=signal.SIGKILL, killed_for=Cause.STALL)
    assert outcome.cause is Cause.STALL
    assert outcome.advice == (
        "Stopped after stalling at its memory limit while it used 1 GiB of its own 2 GiB: nearly "
        "all its time went into waiting for memory. "
        "Run less at once (fewer test files, fewer workers), or ask for a limit of 4 GiB."
    )


def test_a_deadline_names_itself_and_the_cpu_time() -> None:
    outcome = end(status=signal.SIGKILL, killed_for=Cause.DEADLINE)
    assert outcome.cause is Cause.DEADLINE
    assert outcome.advice == (
        "Killed at its deadline of 5 s with a CPU time of 1.5 s. "
        "Split the work into shorter calls, or ask for a deadline of 10 s."
    )


def test_a_limit_of_processes_that_was_hit_and_made_it_fail() -> None:
    usage = Counters(peak=MIB, oom_kill=0, pids_max_hits=3)
    outcome = end(usage, status=exited(254))
    assert outcome.cause is Cause.PIDS
    assert outcome.advice == (
        "It hit its limit of 64 for processes and threads and failed. "
        "Start fewer workers at once, or ask for 128 pids."
    )


def test_a_limit_of_processes_that_was_hit_without_harm_is_no_cause() -> None:
    usage = Counters(peak=MIB, oom_kill=0, pids_max_hits=3)
    assert end(usage, status=exited(0)).cause is Cause.EXITED
    assert end(usage, status=signal.SIGTERM).cause is Cause.SIGNALLED


def test_a_kill_on_request() -> None:
    outcome = end(status=signal.SIGKILL, killed_for=Cause.REQUEST)
    assert outcome.advice == (
        "Killed on request after 3 s. Nothing is left of it: declare a new call to run it again."
    )


def test_a_call_that_never_started() -> None:
    outcome = end(BARE, of=call(started=False))
    assert (outcome.cause, outcome.wall) == (Cause.NEVER_STARTED, None)
    assert outcome.advice == (
        "It was declared and never started, so its grant was taken back. "
        "Declare it again just before it starts."
    )


def test_an_end_that_nobody_saw() -> None:
    assert end().advice == (
        "How it ended is not known: its exit status could not be read (peak 1 GiB, limit 2 GiB). "
        "Its output tells whether to run it again."
    )


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    assert conclude(call(), Evidence(CALM, 0, ended_at=50.0)).wall == 0.0


AMOUNT = st.none() | st.integers(0, 2**62)
COUNT = st.none() | st.integers(0, 3)
SECONDS = st.none() | st.floats(0, 1e6)
EVIDENCE = st.builds(
    Evidence,
    usage=st.builds(
        Counters,
        memory=AMOUNT,
        peak=AMOUNT,
        cpu=SECONDS,
        throttled=SECONDS,
        oom=COUNT,
        oom_kill=COUNT,
        pids_max_hits=COUNT,
    ),
    status=st.none() | st.integers(0, 0xFFFF),
    killed_for=st.sampled_from([None, Cause.STALL, Cause.DEADLINE, Cause.REQUEST]),
    calls_oom=st.integers(-2, 2),
    session_oom=st.integers(-2, 2),
    ended_at=st.floats(0, 1e6),
    most=st.builds(Most, AMOUNT, st.none() | st.integers(2, 10_000)),
)
CALLS = st.builds(call, started=st.booleans(), limit=AMOUNT, asked=AMOUNT)


@given(CALLS, EVIDENCE)
def test_advice_is_two_sentences_that_invent_no_figure(one: Call, evidence: Evidence) -> None:
    advice = conclude(one, evidence).advice
    assert re.fullmatch(r"[A-Z].*[^.]\. [A-Z].*[^.]\.", advice), advice
    assert len(re.findall(r"\. [A-Z]", advice)) == 1
    assert not re.search(r"unknown|None|nan|  | [,.:;)]", advice), advice
    assert len(advice) < 300


@given(CALLS, EVIDENCE)
def test_an_oom_is_the_leafs_own_counter_and_nothing_else(one: Call, evidence: Evidence) -> None:
    outcome = conclude(one, evidence)
    assert (outcome.cause is Cause.OOM) == bool(evidence.usage.oom_kill)
    assert (outcome.level is None) == (outcome.cause is not Cause.OOM)
    assert outcome.oom_kills == evidence.usage.oom_kill
