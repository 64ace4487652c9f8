"""Evidence about a call: its timeline, its moments of pressure, who held the pool, and advice."""

from dataclasses import replace

import pytest

from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.explanation import Whose
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent, MemoryWish
from agentcg.model.outcome import Cause, Level, Outcome
from agentcg.model.sample import Sample, Usage
from agentcg.policy import timeline
from agentcg.policy.explaining import Evidence, explanation
from agentcg.policy.holders import ADMIN, SHOWN, Viewer, holders
from agentcg.policy.learned import Learned

MIB = 1 << 20
AT = 1000.0


def call(name: str = "c-1", session: str = "s-1", **more: object) -> Call:
    what = Intent(command=f"run {name}")
    made = Call(CallId(name), SessionId(session), what, Grant(), CallState.RUNNING, AT)
    return replace(made, **more)  # type: ignore[arg-type]


def told(kind: Kind, after: float, text: str = "") -> Event:
    return Event(int(after * 10), AT + after, kind, "s-1", "c-1", text)


def read(after: float, some: float | None = None, memory: int = MIB) -> Sample:
    return Sample(AT + after, 5 + after, True, Usage(memory, memory, after / 2, memory_some=some))


def test_a_timeline_joins_repeats_and_is_never_before_the_declaration() -> None:
    events = [
        told(Kind.CALL_DECLARED, 0),
        *(told(Kind.CALL_THROTTLED, 1 + n) for n in range(3)),
        told(Kind.CALL_OOM, -50, "the clock was put back"),
    ]
    found, beyond = timeline.steps(call(ended_at=AT + 9), events)
    assert beyond == 0
    assert [(s.kind, s.since, s.times) for s in found] == [
        (Kind.CALL_OOM, 0.0, 1),
        (Kind.CALL_DECLARED, 0.0, 1),
        (Kind.CALL_THROTTLED, 1.0, 3),
        (Kind.CALL_ENDED, 9.0, 1),
    ]


def test_a_timeline_of_thousands_keeps_both_ends_and_says_so() -> None:
    kinds = (Kind.CALL_FROZEN, Kind.CALL_THAWED)
    events = [told(kinds[n % 2], n) for n in range(5000)]
    found = explanation(call(), Evidence(events, ()))
    assert len(found.timeline) == 200
    assert (found.timeline[0].since, found.timeline[-1].since) == (0.0, 4999.0)
    assert found.gaps == (
        "4801 steps in the middle of its timeline are left out: there are too many",
    )


def test_the_gravest_moments_are_kept_and_close_ones_are_one() -> None:
    events = [told(Kind.CALL_THROTTLED, 10 * n) for n in range(9)]
    events += [told(Kind.CALL_OOM, 82), told(Kind.CALL_OOM, 83)]
    found = timeline.moments(call(), events, ())
    assert [round(at - AT) for at, _ in found] == [0, 10, 20, 82]
    assert "OOM" in found[-1][1]


def test_waiting_alone_is_a_moment_where_it_was_worst() -> None:
    samples = [read(n, some) for n, some in enumerate((0.0, 0.01, 0.9, 0.95))]
    assert timeline.moments(call(), (), samples) == [
        (AT + 2, "it waited for memory more than at any other time")
    ]
    assert timeline.moments(call(), (), samples[:2]) == []


HELD = {
    ("s-1", ""): 900 * MIB,
    ("s-1", "c-1"): 100 * MIB,
    ("s-1", "c-2"): 300 * MIB,
    ("s-9", ""): 4000 * MIB,
    ("s-9", "c-hog"): 3000 * MIB,
    ("s-9", "c-over"): 50 * MIB,
}
KNOWN = {
    "c-2": call("c-2"),
    "c-hog": call("c-hog", "s-9", declared_at=1.0),
    "c-over": call("c-over", "s-9", closed_at=AT + 4),
}


def test_the_administrator_sees_who_held_what_however_long_it_runs() -> None:
    found = holders(call(), HELD, KNOWN, AT + 5, ADMIN)
    assert [(h.whose, h.call or h.session, h.memory // MIB) for h in found] == [
        (Whose.CALL, "c-hog", 3000),
        (Whose.OUTSIDE, "s-9", 1000),
        (Whose.OUTSIDE, "s-1", 500),
        (Whose.CALL, "c-2", 300),
        (Whose.THIS, "c-1", 100),
    ]
    assert found[0].command == "run c-hog"


def test_memory_of_a_call_without_a_record_is_its_sessions() -> None:
    known = {name: one for name, one in KNOWN.items() if name != "c-hog"}
    found = holders(call(), HELD, known, AT + 5, ADMIN)
    assert (found[0].whose, found[0].memory) == (Whose.OUTSIDE, 4000 * MIB)


def test_a_call_that_closed_before_it_was_declared_by_the_clock_is_named() -> None:
    known = {"c-2": call("c-2", declared_at=AT + 100, closed_at=AT - 100)}
    held = {("s-1", "c-2"): MIB}
    assert [h.call for h in holders(call(), held, known, AT, ADMIN)] == ["c-2"]
    assert holders(call(), held, known, AT + 101, ADMIN) == ()


def test_a_session_sees_others_as_a_sum() -> None:
    found = holders(call(), HELD, KNOWN, AT + 5, Viewer("s-1"))
    assert found[0].whose is Whose.SESSIONS
    assert (found[0].memory, found[0].count, found[0].session) == (4000 * MIB, 1, None)
    assert "s-9" not in repr(found)
    assert "hog" not in repr(found)
    assert [h.call for h in found[1:]] == [None, "c-2", "c-1"]


def test_a_call_sees_itself_alone() -> None:
    found = holders(call(), HELD, KNOWN, AT + 5, Viewer("s-1", "c-1"))
    assert [(h.whose, h.memory // MIB) for h in found] == [
        (Whose.SESSIONS, 4000),
        (Whose.OTHERS, 800),
        (Whose.THIS, 100),
    ]
    assert "c-2" not in repr(found)


def test_of_many_the_largest_are_named_and_no_byte_is_lost() -> None:
    many = {("s-1", f"c-{n}"): (n + 1) * MIB for n in range(500)}
    known = {name: call(name) for _, name in many}
    found = holders(call("c-0"), many, known, AT, ADMIN)
    assert len(found) == SHOWN + 1
    assert sum(h.memory for h in found) == sum(many.values())
    assert any(h.whose is Whose.THIS for h in found)


def test_bounds_stand_beside_what_was_used_and_say_from_whom() -> None:
    grant = Grant(8 * MIB, 64 * MIB, 10, source={"memory.guarantee": "learned: x"})
    intent = Intent(memory=MemoryWish(limit=64 * MIB))
    outcome = Outcome(Cause.EXITED, 0, wall=4.0, cpu=2.0, peak=50 * MIB)
    one = call(grant=grant, intent=intent, outcome=outcome)
    bounds = {b.knob: b for b in explanation(one, Evidence((), [read(1)])).bounds}
    assert bounds["memory.limit"].source == "declared"
    assert bounds["memory.limit"].used == 50 * MIB
    assert bounds["memory.guarantee"].source == "learned: x"
    assert bounds["pids"].source == "default"
    assert bounds["deadline"].used == 4.0


def test_advice_names_what_would_have_sufficed() -> None:
    ended = Outcome(Cause.EXITED, 0, wall=4.0, peak=100 * MIB, held=3.0)
    learned = Learned(80 * MIB, 30, "pytest", "in this session")
    words = explanation(call(outcome=ended), Evidence((), (), learned=learned)).advice
    assert "up to 80 MiB (learned: the median peak of 30 calls" in words[0]
    assert words[1] == "A limit of 120 MiB would have sufficed; it had none."
    assert words[2].startswith("A guarantee of 100 MiB would have kept others")
    killed = Outcome(Cause.OOM, level=Level.CALL, limit=64 * MIB, peak=64 * MIB, advice="Ask.")
    found = explanation(call(outcome=killed), Evidence((), ()))
    assert "is not known: it wanted more than the 64 MiB" in found.advice[1]
    assert found.decided == ("Ask.",)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, "A limit of 120 MiB would have sufficed so far; it had none."),
        (Outcome(Cause.EXITED, 0), "A limit of 120 MiB would have sufficed; it had none."),
        (Outcome(Cause.EXITED, 1), "is not known: it failed at a peak of 100 MiB."),
        (Outcome(Cause.OOM, level=Level.SESSION), "is not known: it was stopped at a peak of 100"),
        (Outcome(Cause.PRESSURE), "is not known: it was stopped at a peak of 100 MiB."),
        (Outcome(Cause.REQUEST), "is not known: it was stopped at a peak of 100 MiB."),
        (Outcome(Cause.NEVER_STARTED), "is not known: it was stopped at a peak of 100 MiB."),
    ],
)
def test_what_would_have_sufficed_is_known_of_a_good_end_alone(
    outcome: Outcome | None, words: str
) -> None:
    found = explanation(call(outcome=outcome), Evidence((), [read(1, memory=100 * MIB)]))
    assert words in found.advice[1]


def test_a_call_that_runs_is_told_so_far() -> None:
    found = Evidence((), [read(4)], now=AT + 8, unlearned="its session is closed")
    told = explanation(call(started_at=AT), found)
    bounds = {bound.knob: bound.used for bound in told.bounds}
    assert (bounds["deadline"], bounds["cpu.cores"]) == (8.0, 0.25)
    assert told.advice[0].endswith("no learned guarantee: its session is closed.")
    back = explanation(call(started_at=AT), Evidence((), (), now=AT - 50))
    assert {bound.knob: bound.used for bound in back.bounds}["deadline"] == 0.0
