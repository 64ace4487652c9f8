"""Scripted timelines of a call at its limit."""

import pytest

from agentcg.model.sample import Counters
from agentcg.policy.stall import Stall, Verdict, judge

LIMIT = 1000
THRASHING = Counters(memory=1000, pressure=90.0)
CALM = Counters(memory=1000, pressure=5.0)


def play(*readings: tuple[float, Counters]) -> list[str]:
    """The word for each reading's verdict."""
    state, words = Stall(), []
    for now, counters in readings:
        verdict = judge(state, counters, LIMIT, now)
        state = verdict.state
        words.append(word(verdict))
    return words


def word(verdict: Verdict) -> str:
    if verdict.kill:
        return "kill"
    if verdict.tell:
        return "tell"
    return "calm" if verdict.state.since is None else "stalls"


def test_a_call_that_goes_on_thrashing_is_told_once_and_then_killed() -> None:
    timeline = [(float(second), THRASHING) for second in range(100, 132)]
    words = play(*timeline)
    assert words == ["stalls"] * 5 + ["tell"] + ["stalls"] * 24 + ["kill", "kill"]


def test_a_call_that_recovers_is_left_alone_and_starts_anew() -> None:
    assert play(
        (0.0, THRASHING), (5.0, THRASHING), (20.0, CALM), (40.0, THRASHING), (44.9, THRASHING)
    ) == ["stalls", "tell", "calm", "stalls", "stalls"]


def test_a_dip_to_above_half_the_threshold_does_not_end_a_stall() -> None:
    dip = Counters(memory=1000, pressure=20.0)
    assert play((0.0, THRASHING), (2.0, dip), (30.0, THRASHING), (31.0, dip)) == [
        "stalls",
        "stalls",
        "tell",
        "kill",
    ]


def test_pressure_between_the_two_thresholds_does_not_begin_a_stall() -> None:
    assert play((0.0, Counters(memory=1000, pressure=39.9))) == ["calm"]
    assert play((0.0, Counters(memory=1000, pressure=40.0))) == ["stalls"]


def test_pressure_well_below_the_limit_is_somebody_elses() -> None:
    assert play((0.0, Counters(memory=949, pressure=99.0))) == ["calm"]
    assert play((0.0, Counters(memory=950, pressure=99.0))) == ["stalls"]


def test_a_call_that_frees_a_tenth_of_its_limit_stalls_no_more() -> None:
    freed = Counters(memory=890, pressure=99.0)
    little = Counters(memory=910, pressure=99.0)
    assert play((0.0, THRASHING), (1.0, little), (2.0, freed)) == ["stalls", "stalls", "calm"]


def test_a_clock_that_leaps_tells_before_it_kills() -> None:
    assert play((0.0, THRASHING), (3600.0, THRASHING), (3601.0, THRASHING)) == [
        "stalls",
        "tell",
        "kill",
    ]


def test_a_clock_that_is_set_back_kills_nobody() -> None:
    assert play((3600.0, THRASHING), (0.0, THRASHING), (31.0, THRASHING)) == ["stalls"] * 3


@pytest.mark.parametrize(
    ("counters", "limit"),
    [
        (Counters(memory=1000), LIMIT),
        (Counters(pressure=99.0), LIMIT),
        (Counters(), LIMIT),
        (THRASHING, None),
    ],
)
def test_without_a_figure_there_is_no_stall(counters: Counters, limit: int | None) -> None:
    assert judge(Stall(since=0.0, told=True), counters, limit, 100.0) == Verdict(Stall())
