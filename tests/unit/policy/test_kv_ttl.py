"""Whether a program's KV is worth keeping while its tool runs."""

import math

import pytest

from agentcg.model.gpu import Program, ProgramId, ProgramPhase
from agentcg.model.ids import SessionId
from agentcg.policy.kv_ttl import ENOUGH, KEEP, Durations, best_ttl, cold_ttl, idle

GIB = 1 << 30


def test_the_formulas_of_the_paper() -> None:
    assert best_ttl([1, 4], 3) == 1.0
    assert cold_ttl(1.0, 3.0) == pytest.approx(math.log(3))
    assert cold_ttl(3.0, 3.0) == 0.0
    assert best_ttl([], 3) == 0.0
    assert best_ttl([5], 3) == 0.0


def learned(kind: str, *seconds: float) -> Durations:
    known = Durations()
    for _ in range(ENOUGH // len(seconds) + 1):
        for one in seconds:
            known.add(kind, one)
    return known


def test_a_class_of_short_calls_is_worth_it_and_one_of_long_ones_not() -> None:
    assert not learned("ls", 0.1).outlasts("ls", 0.0, benefit=2.0)
    assert learned("make", 60.0).outlasts("make", 0.0, benefit=2.0)


def test_what_counts_is_what_is_left() -> None:
    known = learned("pytest", 1.0, 1.0, 100.0)
    assert not known.outlasts("pytest", 0.0, benefit=5.0)
    assert known.outlasts("pytest", 1.5, benefit=5.0)
    assert not known.outlasts("pytest", 99.0, benefit=5.0)


def test_a_class_of_which_little_is_known_is_like_all() -> None:
    known = learned("make", 60.0)
    known.add("new", 0.1)
    assert known.outlasts("new", 0.0, benefit=2.0)
    assert known.outlasts(None, 0.0, benefit=2.0)


def test_nothing_known_is_a_mean_of_a_second() -> None:
    assert not Durations().outlasts("x", 0.0, benefit=3.0)
    assert Durations().outlasts("x", 0.0, benefit=1.0)


def test_it_is_bounded_and_no_duration_is_negative() -> None:
    known = Durations()
    for n in range(1000):
        known.add(f"kind {n}", -1.0)
    assert len(known.kinds) < 300
    assert list(known.all) == [0.0] * KEEP


def program(name: str, gib: float | None, **more: object) -> Program:
    kv = None if gib is None else int(gib * GIB)
    return Program(
        ProgramId(name),
        SessionId("s"),
        ProgramPhase.TOOL_START,
        0.0,
        kv,
        **more,  # type: ignore[arg-type]
    )


def test_idle_programs_the_smallest_context_first() -> None:
    told = [
        program("big", 4, tool_since=100.0, tool_eta=60.0),
        program("small", 1, tool_since=100.0, tool_eta=60.0),
        program("soon", 1, tool_since=100.0, tool_eta=0.5),
        program("unknown", None, tool_since=100.0, tool_eta=60.0),
        program("served", 1),
    ]
    found = idle(told, Durations(), 100.0, prefill=GIB)
    assert [one.program for one in found] == ["small", "big"]
    # The time of day was set back.
    assert len(idle(told, Durations(), 0.0, prefill=GIB)) == 2
