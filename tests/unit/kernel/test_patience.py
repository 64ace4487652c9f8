"""What is read of processes that do not want to be read."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agentcg.errors import ProcessGoneError
from agentcg.kernel.patience import STUCK, Patience


@contextmanager
def stalled() -> Iterator[tuple[Callable[[], str], threading.Event]]:
    """A read that takes for ever; the event is set when it is over all the same."""
    go_on, over = threading.Event(), threading.Event()

    def work() -> str:
        go_on.wait(60)
        over.set()
        return "late"

    try:
        yield work, over
    finally:
        go_on.set()
        over.wait(60)


def test_it_answers_and_raises_what_the_work_does() -> None:
    patience = Patience(60)

    def gone() -> str:
        raise ProcessGoneError(7)

    assert patience.ask("a", lambda: "yes") == "yes"
    with pytest.raises(ProcessGoneError):
        patience.ask("a", gone)
    before = threading.active_count()
    assert [patience.ask("a", threading.get_ident) for _ in range(100)]
    assert threading.active_count() == before


def test_who_keeps_one_waiting_is_not_asked_again_until_that_one_is_back() -> None:
    patience = Patience(0.02, now=iter(range(100)).__next__)
    with stalled() as (work, _):
        assert patience.ask("a", work) is None
        assert patience.ask("a", lambda: "yes") is None
        # Where nobody hangs there is all the time of the world.
        assert Patience(60).ask("a", lambda: "yes") == "yes"
    for _ in range(40):  # a moment after its work the helper says so
        if patience.ask("a", lambda: "yes"):
            break
        threading.Event().wait(0.05)
    else:
        pytest.fail("its helper never came back")


def test_others_are_asked_meanwhile_until_too_many_hang() -> None:
    patience = Patience(0.02, now=iter(range(100)).__next__)
    with stalled() as (work, _):
        for whose in range(STUCK):
            assert patience.ask(whose, work) is None
        before = threading.active_count()
        assert patience.ask("another", lambda: "yes") is None
        assert threading.active_count() == before


def test_slow_answers_have_so_much_of_a_second_and_then_none() -> None:
    clock = [10.0]
    patience = Patience(0.25, now=lambda: clock[0])

    def slow() -> str:
        clock[0] += 0.125
        return "slow"

    assert [patience.ask("a", slow) for _ in range(3)] == ["slow", "slow", None]
    assert patience.ask("b", slow) == "slow"
    assert patience.ask("b", slow) == "slow"
    # All the second's waiting is used up, whoever used it.
    assert patience.ask("c", lambda: "quick") is None
    clock[0] = 11.0
    assert patience.ask("a", slow) == "slow"
