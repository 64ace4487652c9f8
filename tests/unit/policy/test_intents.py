"""What was promised and not used."""

from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account
from agentcg.policy import intents


def account(name: str = "c", **about: object) -> Account:
    return Account(CallId(name), SessionId("s"), "x", 0.0, Cause.EXITED, **about)  # type: ignore[arg-type]


def test_what_counts_as_promised() -> None:
    assert intents.promised(account(limit=9)) == 0  # a default that nobody asked for
    assert intents.promised(account(asked_limit=9)) == 9
    assert intents.promised(account(asked_limit=9, limit=5)) == 5
    assert intents.promised(account(asked_limit=9, limit=5, guarantee=7)) == 7


def test_unused_is_never_negative_and_not_known_without_a_peak() -> None:
    assert intents.unused(account(asked_limit=9, peak=4)) == 5
    assert intents.unused(account(asked_limit=9, peak=12)) == 0
    assert intents.unused(account(asked_limit=9)) is None
    assert intents.unused(account(peak=3)) is None


def test_the_worst_held_most_for_longest() -> None:
    calls = [
        account("short", asked_limit=100, peak=0, wall=1.0),
        account("long", asked_limit=10, peak=0, wall=50.0),
        account("none", asked_limit=10, peak=10, wall=50.0),
    ]
    assert [one.call for one in intents.top_wasters(calls, 5)] == ["long", "short"]
    assert [one.call for one in intents.top_wasters(calls, 1)] == ["long"]


def test_accuracy_counts_each_call_that_asked_once() -> None:
    peaks = (0, 25, 26, 50, 80, 81, 100, 101)
    calls = [account(asked_limit=100, peak=peak) for peak in peaks]
    assert list(intents.accuracy([*calls, account(peak=5), account(asked_limit=5)])) == [
        2,
        2,
        1,
        2,
        1,
    ]
