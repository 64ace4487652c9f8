"""Sharing a session's limit between its agent and its calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.model.caps import Caps
from agentcg.policy.caps import caps, moved, reserve, settled_at

MIB = 2**20
GIB = 2**30
BYTES = st.integers(0, 2**50)
PIDS = st.integers(1, 2**22)


def test_the_reserve_is_a_quarter_more_than_the_agent_has_and_64_mib() -> None:
    assert reserve(400 * MIB) == 564 * MIB
    assert reserve(0) == 64 * MIB


def test_a_session_with_room_is_shared() -> None:
    assert caps(limit=4 * GIB, pids=4096, reserved=GIB, settled=GIB) == Caps(
        reserve=GIB,
        calls_memory=3 * GIB,
        agent_memory=2 * GIB,
        calls_pids=3840,
        agent_pids=1280,
    )


def test_a_session_without_limits_has_none_to_share() -> None:
    assert caps(limit=None, pids=None, reserved=GIB, settled=GIB) == Caps(
        GIB, None, None, None, None
    )


def test_a_session_too_small_for_the_reserve_leaves_its_calls_a_quarter() -> None:
    small = caps(limit=100 * MIB, pids=100, reserved=200 * MIB, settled=200 * MIB)
    assert (small.calls_memory, small.agent_memory) == (25 * MIB, 100 * MIB)
    assert (small.calls_pids, small.agent_pids) == (50, 50)


def test_the_share_of_undeclared_work_is_the_configurations() -> None:
    shared = caps(limit=4 * GIB, pids=None, reserved=GIB, settled=GIB, undeclared_share=0.0)
    assert shared.agent_memory == GIB


@given(BYTES, BYTES, st.floats(0, 1))
def test_calls_and_reserve_together_never_exceed_the_limit(
    limit: int, reserved: int, share: float
) -> None:
    shared = caps(
        limit=limit, pids=None, reserved=reserved, settled=reserved, undeclared_share=share
    )
    assert shared.calls_memory is not None
    assert shared.agent_memory is not None
    if reserved <= limit - limit // 4:
        assert shared.calls_memory + reserved <= limit
    else:
        assert shared.calls_memory == limit // 4
    assert 0 <= shared.calls_memory <= limit
    assert min(limit, reserved) <= shared.agent_memory <= limit


@given(PIDS)
def test_calls_leave_the_agent_256_processes_or_half(pids: int) -> None:
    shared = caps(limit=None, pids=pids, reserved=0, settled=0)
    assert shared.calls_pids is not None
    assert shared.agent_pids is not None
    assert pids - shared.calls_pids >= min(256, pids // 2)
    assert 0 <= shared.calls_pids <= pids
    assert pids - shared.calls_pids <= shared.agent_pids <= pids


@given(st.integers(800, 2**22))
def test_undeclared_work_gets_fewer_processes_than_calls(pids: int) -> None:
    shared = caps(limit=None, pids=pids, reserved=0, settled=0)
    assert shared.calls_pids is not None
    assert shared.agent_pids is not None
    assert shared.agent_pids < shared.calls_pids


@given(BYTES, BYTES, BYTES)
def test_a_higher_limit_never_lowers_a_cap_and_a_higher_reserve_never_raises_that_of_the_calls(
    limit: int, reserved: int, more: int
) -> None:
    now = caps(limit=limit, pids=None, reserved=reserved, settled=reserved)
    richer = caps(limit=limit + more, pids=None, reserved=reserved, settled=reserved)
    busier = caps(limit=limit, pids=None, reserved=reserved + more, settled=reserved + more)
    assert (now.calls_memory or 0) <= (richer.calls_memory or 0)
    assert (now.agent_memory or 0) <= (richer.agent_memory or 0)
    assert (busier.calls_memory or 0) <= (now.calls_memory or 0)
    assert (busier.agent_memory or 0) >= (now.agent_memory or 0)


@given(BYTES, BYTES)
def test_the_reserve_grows_with_the_agent_and_covers_it(used: int, more: int) -> None:
    assert reserve(used) >= used + 64 * MIB
    assert reserve(used + more) >= reserve(used)


@given(st.integers(0, 2**40), st.integers(2**20, 2**42), st.floats(0, 1))
def test_what_an_agent_had_settled_at_is_known_from_its_cap(
    used: int, limit: int, share: float
) -> None:
    shared = caps(limit=limit, pids=None, reserved=0, settled=reserve(used), undeclared_share=share)
    assert shared.agent_memory is not None
    back = settled_at(shared.agent_memory, limit=limit, undeclared_share=share)
    assert back <= used + 1
    if shared.agent_memory < limit:
        assert abs(back - used) <= 2


@pytest.mark.parametrize(
    ("old", "new", "far"),
    [
        (1000, 1100, False),
        (1000, 1101, True),
        (1000, 899, True),
        (1000, 900, False),
        (0, 0, False),
        (0, 1, True),
        (None, None, False),
        (None, 0, True),
        (0, None, True),
    ],
)
def test_a_cap_has_moved_when_it_did_by_more_than_a_tenth(
    old: int | None, new: int | None, far: bool
) -> None:
    assert moved(old, new) is far
