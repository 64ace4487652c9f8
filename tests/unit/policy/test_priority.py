"""Priority as CPU weight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.policy.priority import weight


@pytest.mark.parametrize(("priority", "expected"), [(0, 100), (50, 200), (100, 400), (-100, 25)])
def test_every_50_of_priority_is_twice_the_weight(priority: int, expected: int) -> None:
    assert weight(100, priority) == expected


@given(st.integers(1, 10_000), st.integers(-100, 100))
def test_a_weight_is_always_one_that_the_kernel_takes(base: int, priority: int) -> None:
    assert 1 <= weight(base, priority) <= 10_000
    assert weight(base, priority) <= weight(base, priority + 1)
