"""Who gives way in a pool in which nobody can go on."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agentcg.model.ids import CallId
from agentcg.policy.stuck import KILL_AFTER, RECLAIM_AFTER, Standing, Step, Stuck, judge
from agentcg.policy.victim import Candidate, choose

MIB = 2**20
PATIENCE = 4.0
LOW = Standing(Candidate(CallId("low"), -50, 300 * MIB, 0, 0.0), cpu=1.0, held=1)
HIGH = Standing(Candidate(CallId("high"), 50, 200 * MIB, 200 * MIB, 0.0), cpu=1.0, held=0)


def steps(calls: list[Standing], seconds: int, *, busy: float = 0.0) -> list[Step]:
    """What is done in so many seconds with a report in each; `busy`: cores the last call uses."""
    stuck, done = Stuck(), []
    for now in range(seconds):
        if busy:
            calls = [*calls[:-1], replace(calls[-1], cpu=1.0 + busy * now)]
        stuck, step, _ = judge(stuck, calls, float(now), PATIENCE)
        done.append(step)
    return done


def test_what_can_be_taken_back_is_taken_back_before_anybody_is_killed() -> None:
    done = steps([LOW, HIGH], int(KILL_AFTER) + 1)
    assert [i for i, step in enumerate(done) if step is Step.RECLAIM] == [RECLAIM_AFTER]
    assert [i for i, step in enumerate(done) if step is Step.KILL] == [KILL_AFTER]


def test_as_long_as_anybody_works_all_wait() -> None:
    assert set(steps([LOW, HIGH], 60, busy=1.0)) == {Step.WAIT}


def test_looking_whether_they_are_still_held_is_no_work() -> None:
    assert Step.KILL in steps([HIGH, replace(LOW, held=32)], 60, busy=0.4)


def test_one_that_works_beside_many_that_are_held_is_somebody_who_works() -> None:
    assert set(steps([HIGH, replace(LOW, held=4096)], 60, busy=1.0)) == {Step.WAIT}


def test_a_report_long_after_the_last_begins_anew() -> None:
    stuck, _, _ = judge(Stuck(), [LOW], 0.0, PATIENCE)
    stuck, step, _ = judge(stuck, [LOW], 60.0, PATIENCE)
    assert (stuck.since, step) == (60.0, Step.WAIT)


def test_a_call_that_is_new_and_works_is_somebody_who_works() -> None:
    stuck, _, _ = judge(Stuck(), [LOW], 0.0, PATIENCE)
    stuck, step, _ = judge(stuck, [LOW, HIGH], 3.0, PATIENCE)
    assert (stuck.since, step) == (3.0, Step.WAIT)


def test_who_is_inside_its_guarantee_never_gives_way() -> None:
    assert set(steps([replace(HIGH, held=1)], 60)) == {Step.WAIT}


STANDINGS = st.lists(
    st.builds(
        Standing,
        st.builds(
            Candidate,
            st.sampled_from([CallId(name) for name in "abcd"]),
            st.integers(-100, 100),
            st.integers(0, 2**40),
            st.integers(0, 2**40),
            st.floats(0, 1e6),
        ),
        st.floats(0, 1e6),
        st.integers(0, 100),
    ),
    unique_by=lambda one: one.call.call,
)


@given(st.lists(st.tuples(STANDINGS, st.floats(0, 20))))
def test_nobody_is_killed_whose_memory_was_not_asked_back(
    looks: list[tuple[list[Standing], float]],
) -> None:
    stuck, now, asked = Stuck(), 0.0, False
    for calls, later in looks:
        now += later
        stuck, step, going = judge(stuck, calls, now, PATIENCE)
        assert (step is Step.WAIT) or going is not None
        asked = asked or step is Step.RECLAIM
        if step is Step.KILL:
            assert asked
            assert going == choose(one.call for one in calls)
            asked = False


def test_reports_that_come_together_count_as_one() -> None:
    # Each follows a batch, so in the millisecond between two of them their call has done something.
    other = replace(LOW, call=replace(LOW.call, call=CallId("other"), priority=0))
    stuck, done = Stuck(), []
    for second in range(0, 16, 2):
        busy = second * 0.0005
        for now in (float(second), second + 0.001):
            calls = [replace(one, cpu=1.0 + busy) for one in (LOW, other)]
            stuck, step, _ = judge(stuck, calls, now, PATIENCE)
            done.append(step)
            busy += 0.0003
    assert Step.KILL in done
