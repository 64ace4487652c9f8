"""So many a second."""

from agentcg.policy.pace import Pace


def test_what_is_over_the_rate_is_counted_and_told_once() -> None:
    pace = Pace()
    assert [pace.allows(2, 5.0 + n / 10) for n in range(4)] == [True, True, False, False]
    assert pace.allows(2, 6.0)
    assert (pace.settle(), pace.settle()) == (2, 0)
