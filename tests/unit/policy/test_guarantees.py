"""Sums of guarantees on every level above the calls."""

from hypothesis import given
from hypothesis import strategies as st

from agentcg.policy.guarantees import levels, sums, within

CALLS = "agentcg.calls"


def test_levels_from_the_pool_down() -> None:
    assert levels("p.slice/keeper.service/s", "p.slice", CALLS) == (
        "p.slice",
        "p.slice/keeper.service",
        "p.slice/keeper.service/s",
        "p.slice/keeper.service/s/agentcg.calls",
    )
    assert levels("t/p.slice/s", "t/p.slice", CALLS) == (
        "t/p.slice",
        "t/p.slice/s",
        "t/p.slice/s/agentcg.calls",
    )


def test_outside_the_pool_there_is_nothing_of_ours() -> None:
    for path in ("system.slice/docker-a.scope", "p.slice2/x", "p.slice", ""):
        assert not within(path, "p.slice")
        assert levels(path, "p.slice", CALLS) == ()
    assert sums([("system.slice/x", 5)], "p.slice", CALLS) == {}


def test_sums_meet_where_sessions_meet() -> None:
    assert sums([("p/k/a", 1), ("p/k/b", 2), ("p/c", 4), ("p/d", 0)], "p", CALLS) == {
        "p": 7,
        "p/k": 3,
        "p/k/a": 1,
        "p/k/a/agentcg.calls": 1,
        "p/k/b": 2,
        "p/k/b/agentcg.calls": 2,
        "p/c": 4,
        "p/c/agentcg.calls": 4,
    }


@given(
    st.lists(st.tuples(st.sampled_from(["p/a", "p/b", "p/k/c", "q/x"]), st.integers(0, 1 << 40)))
)
def test_the_pool_has_what_all_below_it_have(sessions: list[tuple[str, int]]) -> None:
    made = sums(sessions, "p", CALLS)
    inside = sum(amount for path, amount in sessions if path.startswith("p/"))
    assert made.get("p", 0) == inside
    leaves = [v for k, v in made.items() if k.endswith(CALLS)]
    assert sum(leaves) == inside
    assert all(made.values())
