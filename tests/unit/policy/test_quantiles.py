"""Closed calls in figures."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account, Spread
from agentcg.policy.quantiles import by_kind, spread

ONE = Account(CallId("c"), SessionId("s"), "pytest", 0.0, Cause.EXITED, 2.0, 1.0, 100)


def test_calls_are_counted_by_class() -> None:
    found = by_kind(
        [
            replace(ONE, kind="ls"),
            ONE,
            replace(ONE, cause=Cause.OOM, peak=200, asked_limit=200),
            replace(ONE, peak=None, asked_limit=1000),
            replace(ONE, peak=50, asked_limit=100),
            replace(ONE, cause=Cause.NEVER_STARTED),
        ]
    )
    assert [one.kind for one in found] == ["pytest", "ls"]
    first = found[0]
    assert (first.calls, first.failed, first.oom, first.asked) == (4, 1, 1, 3)
    assert first.peak == Spread(3, 100, 200, 200, 200)
    assert first.used_of_limit == Spread(2, 0.5, 1.0, 1.0, 1.0)
    assert by_kind([]) == []


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_a_quantile_is_a_value_that_so_many_do_not_exceed(values: list[int]) -> None:
    found = spread(values)
    assert found.count == len(values)
    assert found.most == max(values)
    for percent, value in ((50, found.p50), (90, found.p90), (99, found.p99)):
        assert value in values
        assert sum(v <= value for v in values) * 100 >= percent * len(values)
        assert sum(v < value for v in values) * 100 < percent * len(values)


def test_what_is_not_known_does_not_count() -> None:
    assert spread([None, 1.0, None]) == Spread(1, 1.0, 1.0, 1.0, 1.0)
    assert spread([None]) == Spread(0)
