"""What is done about calls over their leases: no device, no cgroup."""

from hypothesis import given
from hypothesis import strategies as st

from agentcg.gpu.overuse import Act, Share, acts, uses
from agentcg.model.gpu import LeaseId

G = (LeaseId("g-1"),)
LEAF = 7
GRACE = 5.0


def act(*shares: Share, since: float | None = None, now: float = 100.0) -> Act:
    stopped = {} if since is None else {LEAF: since}
    return acts(shares, stopped, now, GRACE)[LEAF]


def share(known: int, allowed: int = 10, **more: object) -> Share:
    return Share(LEAF, "GPU-1", G, allowed, known, **more)  # type: ignore[arg-type]


def test_what_leaves_use_of_all_devices_is_told_where_it_is_known_in_full() -> None:
    other = Share(LEAF, "GPU-2", known=3)
    assert uses([share(4), other, Share(8, "GPU-1")]) == {LEAF: 7, 8: 0}
    assert uses([share(4, unknown=(20,)), other]) == {}
    assert uses([share(4), Share(LEAF, "GPU-2", read=False)]) == {}


def test_within_its_lease() -> None:
    assert act(share(10)) is Act.NONE


def test_stopped_at_once_killed_after_grace() -> None:
    assert act(share(11)) is Act.STOP
    assert act(share(11), since=97.0) is Act.NONE
    assert act(share(11), since=95.0) is Act.KILL


def test_goes_on_with_a_larger_lease() -> None:
    assert act(share(11, allowed=12), since=97.0) is Act.RESUME


def test_unknown_is_not_nothing_and_not_too_much() -> None:
    one = share(4, unknown=(20,))
    assert (one.used, act(one)) == (None, Act.NONE)
    assert act(one, since=0.0) is Act.NONE
    # What is known is enough.
    assert act(share(11, unknown=(20,))) is Act.STOP


def test_a_device_that_was_not_read_decides_nothing() -> None:
    lost = share(0, read=False)
    assert (lost.used, act(lost), act(lost, since=0.0)) == (None, Act.NONE, Act.NONE)


def test_a_device_without_a_lease() -> None:
    other = Share(LEAF, "GPU-2", known=1)
    assert act(share(5), other) is Act.STOP


def test_a_lease_that_is_over_had_its_grace() -> None:
    assert act(share(1, allowed=0)) is Act.KILL
    assert act(share(0, allowed=0)) is Act.NONE


SHARES = st.lists(
    st.builds(
        Share,
        leaf=st.integers(1, 3),
        gpu=st.sampled_from(["GPU-1", "GPU-2"]),
        leases=st.sampled_from([(), G]),
        allowed=st.integers(0, 3),
        known=st.integers(0, 3),
        unknown=st.sampled_from([(), (9,)]),
        read=st.booleans(),
    )
)


@given(SHARES, st.dictionaries(st.integers(1, 3), st.floats(0, 10)), st.floats(0, 20))
def test_nobody_is_hurt_who_is_not_over(
    shares: list[Share], stopped: dict[int, float], now: float
) -> None:
    for leaf, done in acts(shares, stopped, now, GRACE).items():
        over = any(one.over for one in shares if one.leaf == leaf)
        assert over or done not in {Act.STOP, Act.KILL}
        assert not over or done is not Act.RESUME
