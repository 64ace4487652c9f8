"""What is learned of a class, and what a call gets by it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent, MemoryWish
from agentcg.model.outcome import Cause
from agentcg.model.session import Budget, Runtime, Session
from agentcg.model.trace import Account
from agentcg.policy.admit import Defaults, Room, admit
from agentcg.policy.learned import WORTH, Learned, Peaks, without
from agentcg.settings_parts import KEEP

MIB = 1 << 20
GIB = 1 << 30
SESSION = Session(SessionId("s"), Runtime.BARE, "pool/s", 7, budget=Budget(guarantee=2 * GIB))
ROOM = Room(8 * GIB, guaranteed=0, open_calls=0, cpus=frozenset(), cpu_load={})
DEFAULTS = Defaults(memory_limit=None, pids=4096, deadline=None)
LEARNED = Learned(600 * MIB, 24, "pytest", "in this session")


def closed(peak: int | None, kind: str = "pytest", cause: Cause = Cause.EXITED) -> Account:
    return Account(CallId("c"), SessionId("s"), kind, 1.0, cause, peak=peak)


def peaks(*figures: int | None, kind: str = "pytest") -> Peaks:
    made = Peaks()
    for figure in figures:
        made.add("s", closed(figure, kind))
    return made


def test_the_median_counts_once_there_are_enough() -> None:
    known = peaks(*(n * 100 * MIB for n in range(1, 5)))
    assert known.of("s", "pytest", 5, "here") is None
    known.add("s", closed(900 * MIB))
    found = known.of("s", "pytest", 5, "here")
    assert found == Learned(300 * MIB, 5, "pytest", "here")
    assert str(found) == "learned: the median peak of 5 calls of 'pytest' here"
    assert known.of("s", "make", 1, "") is known.of("other", "pytest", 1, "") is None


def test_what_never_ran_or_is_not_known_does_not_count() -> None:
    known = peaks(None, GIB)
    known.add("s", closed(GIB, cause=Cause.NEVER_STARTED))
    assert known.of("s", "pytest", 1, "") == Learned(GIB, 1, "pytest", "")


def test_what_a_rested_call_may_grow_at_once_needs_no_guarantee() -> None:
    assert peaks(*[WORTH - 1] * 30).of("s", "pytest", 20, "") is None


def test_the_newest_count_and_neither_classes_nor_calls_pile_up() -> None:
    known = peaks(*[GIB] * 40, *[2 * GIB] * KEEP)
    assert known.of("s", "pytest", 5, "") == Learned(2 * GIB, KEEP, "pytest", "")
    for number in range(1000):
        known.add("s", closed(GIB, f"kind{number}"))
    assert len(known.known["s"]) == 64
    assert known.of("s", "pytest", 5, "") is None


def test_the_past_comes_before_what_is_known() -> None:
    known = peaks(*[3 * GIB] * 30)
    past = [closed(GIB) for _ in range(KEEP)] + [closed(GIB, "make")]
    known.before("s", past)
    assert list(known.known["s"]["pytest"]) == [GIB] * (KEEP - 30) + [3 * GIB] * 30
    assert list(known.known["s"]["make"]) == [GIB]
    known.before("s", [closed(GIB, f"kind{n}") for n in range(1000)])
    assert len(known.known["s"]) == 64
    assert len(known.known["s"]["pytest"]) == KEEP
    known.forget("s")
    assert known.of("s", "pytest", 1, "") is None


def test_a_call_gets_a_guarantee_by_it_and_is_told_whence() -> None:
    plain = admit(Intent(), SESSION, ROOM, DEFAULTS)
    grant = admit(Intent(), SESSION, ROOM, DEFAULTS, LEARNED)
    source = {"memory.guarantee": str(LEARNED)}
    assert grant == replace(plain, memory_guarantee=600 * MIB, source=source)


LEFT = ", cut to what is left for such guarantees"


@pytest.mark.parametrize(
    ("room", "got", "words"),
    [
        (replace(ROOM, guaranteed=GIB), 600 * MIB, ""),
        (replace(ROOM, guaranteed=2 * GIB - 100 * MIB), 100 * MIB, LEFT),
        (replace(ROOM, guaranteed=800 * MIB, learned=800 * MIB), 224 * MIB, LEFT),
        (replace(ROOM, guaranteed=2 * GIB - 10 * MIB), 0, ""),
        (replace(ROOM, calls_limit=300 * MIB), 300 * MIB, ", cut to its limit"),
    ],
)
def test_it_takes_what_is_left_and_half_of_the_budget_at_most(
    room: Room, got: int, words: str
) -> None:
    grant = admit(Intent(), SESSION, room, DEFAULTS, LEARNED)
    assert grant.memory_guarantee == got
    assert grant.source == ({"memory.guarantee": f"{LEARNED}{words}"} if got else {})


def test_where_the_session_may_guarantee_nothing_nothing_is_learned() -> None:
    session = replace(SESSION, budget=Budget())
    assert admit(Intent(), session, ROOM, DEFAULTS, LEARNED) == admit(
        Intent(), session, ROOM, DEFAULTS
    )


@given(st.integers(WORTH, 64 * GIB), st.integers(0, 8 * GIB), st.integers(0, 4 * GIB))
def test_nothing_else_of_a_grant_changes_and_the_budget_holds(
    peak: int, guaranteed: int, learned: int
) -> None:
    room = replace(ROOM, guaranteed=guaranteed + learned, learned=learned)
    plain = admit(Intent(), SESSION, room, DEFAULTS)
    grant = admit(Intent(), SESSION, room, DEFAULTS, replace(LEARNED, peak=peak))
    assert replace(grant, memory_guarantee=0, source={}) == plain
    if grant.memory_guarantee:
        assert room.guaranteed + grant.memory_guarantee <= 2 * GIB
        assert learned + grant.memory_guarantee <= GIB


def test_only_what_is_learned_is_given_back() -> None:
    grant = admit(Intent(), SESSION, ROOM, DEFAULTS, LEARNED)
    assert without(grant) == admit(Intent(), SESSION, ROOM, DEFAULTS)
    asked = admit(Intent(memory=MemoryWish(GIB)), SESSION, ROOM, DEFAULTS)
    assert without(asked) == asked
