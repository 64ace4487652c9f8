"""What was there before the probes, found from readings of the driver."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.gpu.before import Before


class Account:
    """An account, and what its processes have in truth; nothing is under way between steps."""

    def __init__(self, before: int, thought: int) -> None:
        self.before = thought  # as the account has it
        self.truth = before
        self.seen = 0
        self.changes = 0
        self.hidden = 0
        self.known = Before()
        self.at = 0.0

    @property
    def used(self) -> int:
        return self.seen + self.before

    def charge(self, size: int, hidden: int = 0) -> None:
        self.seen += size
        self.hidden += hidden
        self.changes += 1

    def read(self, told: int) -> int | None:
        self.at += 1
        left = self.known.read(
            told,
            self.at,
            size=self.before,
            used=self.used,
            changes=self.changes,
            hidden=self.hidden,
        )
        if left is not None:
            self.before = left
        return left

    def quiet(self) -> None:
        for _ in range(2):
            self.read(self.truth + self.seen)


def test_the_first_says_what_was_there_and_later_ones_what_is_left() -> None:
    one = Account(before=6, thought=1)
    assert one.read(6) is None
    assert one.known.at < 0
    assert one.read(6) == 6
    assert one.known.at == 1.0
    one.truth = 2
    assert one.read(2) is None  # of two readings the larger
    assert one.read(2) == 2
    assert one.used == 2
    assert one.read(9) is None  # a pool, a context: taken since, and not from what was there
    assert one.read(9) is None


def test_what_calls_are_charged_is_never_taken_away() -> None:
    one = Account(before=0, thought=6)
    one.charge(5)
    one.read(3)
    one.read(3)
    assert (one.before, one.used) == (0, 5)


def test_a_reading_while_something_is_taken_does_not_count() -> None:
    one = Account(before=6, thought=6)
    one.quiet()
    one.charge(4)  # in the account, and the driver does not have it yet
    assert one.read(6) is None
    assert one.read(10) is None
    assert (one.before, one.used) == (6, 10)
    one.charge(-4)
    one.charge(4)  # as much as before, and yet not still
    assert one.read(6) is None
    assert one.before == 6


def test_what_is_given_back_twice_is_made_up_for() -> None:
    """An account may be younger than what is given back: it is less than what was there before."""
    one = Before()
    assert one.read(2, 1.0, size=6, used=2, changes=1, hidden=0) is None
    assert one.read(2, 2.0, size=6, used=2, changes=1, hidden=0) == 2


def test_what_is_under_way_is_not_taken_for_what_has_gone() -> None:
    one = Account(before=6, thought=6)
    one.quiet()
    one.charge(4, hidden=4)  # it waits in the driver, frozen
    for _ in range(3):
        assert one.read(6) is None
    one.hidden = 0  # it came back after the driver was asked, and before the account was
    assert one.read(6) is None
    assert (one.before, one.used) == (6, 10)
    one.truth = 2
    one.quiet()
    assert (one.before, one.used) == (2, 6)


def test_managed_memory_on_the_host_is_not_taken_for_what_has_gone() -> None:
    one = Account(before=6, thought=6)
    one.quiet()
    one.charge(8, hidden=8)
    for _ in range(3):
        assert one.read(6) is None
    one.charge(-8, hidden=-8)
    assert (one.before, one.used) == (6, 6)


def test_where_the_driver_tells_nothing_what_an_earlier_daemon_saw_counts_once() -> None:
    one, other = Before(last=3, due=5.0), Before(last=3, due=5.0)
    assert one.untold(4.9) is None
    assert one.untold(5.0) == 3
    assert one.untold(6.0) is None
    assert other.read(2, 1.0, size=6, used=6, changes=1, hidden=0) is None
    assert other.untold(6.0) is None


@pytest.mark.parametrize("resident", [True, False])
def test_managed_memory_that_is_there_at_the_first_reading_counts_once(resident: bool) -> None:
    truth = 0 if resident else 6
    one = Account(before=truth, thought=0)
    one.charge(6, hidden=6)
    for _ in range(3):
        one.read(6)
    assert (one.before, one.used) == (0, 6)  # which of the two it is cannot be told yet
    one.charge(-6, hidden=-6)
    one.quiet()
    assert (one.before, one.used) == (truth, truth)


def test_what_is_thought_is_kept_as_far_as_what_is_hidden_leaves_it_open() -> None:
    for thought, then in ((0, 2), (4, 4), (9, 8)):
        one = Account(before=4, thought=thought)
        one.charge(6, hidden=6)
        for _ in range(3):
            one.read(8)
        assert one.before == then


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("charge"), st.integers(1, 9)),
        st.tuples(st.just("give"), st.integers(1, 9)),
        st.tuples(st.just("old"), st.integers(1, 9)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("early"), st.integers(1, 9)),
    )
)


@given(st.integers(0, 9), st.integers(0, 9), STEPS)
def test_once_known_nothing_is_lost_and_all_is_found(
    before: int, thought: int, steps: list[tuple[str, int]]
) -> None:
    one = Account(before, thought)
    one.quiet()
    one.quiet()
    for what, size in steps:
        if what == "charge":
            one.charge(size)
        elif what == "give":
            one.charge(-min(size, one.seen))
        elif what == "old":
            one.truth -= min(size, one.truth)
        elif what == "read":
            one.read(one.truth + one.seen)
        else:  # taken between the reading and the look at the account
            told = one.truth + one.seen
            one.charge(size)
            one.read(told)
        assert one.used >= one.truth + one.seen
    one.quiet()
    one.quiet()
    assert one.used == one.truth + one.seen
