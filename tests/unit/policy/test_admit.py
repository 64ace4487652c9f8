"""From an intent to a grant."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.errors import BadValueError, LimitError
from agentcg.model.grant import Grant
from agentcg.model.ids import SessionId
from agentcg.model.intent import CpuClass, CpuWish, Intent, MemoryWish, OnEnd
from agentcg.model.session import Budget, Runtime, Session
from agentcg.policy.admit import Defaults, Room, admit

MIB = 2**20
GIB = 2**30
SESSION = Session(SessionId("s-1"), Runtime.BARE, "pool/s-1", 7)
ROOM = Room(4 * GIB, guaranteed=0, open_calls=0, cpus=frozenset(range(8)), cpu_load={})
DEFAULTS = Defaults(memory_limit=None, pids=4096, deadline=None)


def budget(**figures: int) -> Session:
    return replace(SESSION, budget=Budget(**figures))


def test_a_call_that_says_nothing_gets_the_defaults_and_no_notes() -> None:
    defaults = Defaults(memory_limit=GIB, pids=512, deadline=60.0)
    assert admit(Intent(), SESSION, ROOM, defaults) == Grant(
        memory_guarantee=0,
        memory_limit=GIB,
        pids=512,
        cpu_class=CpuClass.NORMAL,
        cpu_weight=100,
        cpus=None,
        deadline=60.0,
        priority=0,
        on_end=OnEnd.KILL,
    )


def test_what_fits_is_granted_as_asked() -> None:
    intent = Intent(
        memory=MemoryWish(256 * MIB, 2 * GIB),
        cpu=CpuWish(CpuClass.BATCH, 40, 2.0),
        pids=99,
        io_weight=30,
        deadline=5.0,
        priority=-7,
        on_end=OnEnd.KEEP,
    )
    grant = admit(intent, budget(guarantee=GIB), ROOM, DEFAULTS)
    assert grant == Grant(
        memory_guarantee=256 * MIB,
        memory_limit=2 * GIB,
        pids=99,
        cpu_class=CpuClass.BATCH,
        cpu_weight=40,
        cpus=frozenset({0, 1}),
        io_weight=30,
        deadline=5.0,
        priority=-7,
        on_end=OnEnd.KEEP,
        env=grant.env,
    )
    assert grant.env["MAKEFLAGS"] == "-j2"


@pytest.mark.parametrize(
    ("cpu_class", "weight"), [("interactive", 300), ("normal", 100), ("batch", 30)]
)
def test_the_class_sets_the_weight_unless_one_is_named(cpu_class: str, weight: int) -> None:
    wish = CpuWish(CpuClass(cpu_class))
    assert admit(Intent(cpu=wish), SESSION, ROOM, DEFAULTS).cpu_weight == weight
    named = Intent(cpu=replace(wish, weight=5))
    assert admit(named, SESSION, ROOM, DEFAULTS).cpu_weight == 5


def test_a_limit_above_what_the_calls_may_use_is_cut_and_said() -> None:
    grant = admit(Intent(memory=MemoryWish(limit=8 * GIB)), SESSION, ROOM, DEFAULTS)
    assert grant.memory_limit == 4 * GIB
    assert grant.notes == (
        "memory limit 8 GiB cut to 4 GiB, all that this session's calls may use",
    )


def test_a_limit_above_the_budget_is_cut_where_the_host_sets_no_cap() -> None:
    room = replace(ROOM, calls_limit=None)
    grant = admit(Intent(memory=MemoryWish(limit=8 * GIB)), budget(memory=GIB), room, DEFAULTS)
    assert grant.memory_limit == GIB
    assert grant.notes


def test_without_any_bound_the_limit_is_what_was_asked_or_none() -> None:
    room = replace(ROOM, calls_limit=None)
    assert admit(Intent(), SESSION, room, DEFAULTS).memory_limit is None
    asked = Intent(memory=MemoryWish(limit=8 * GIB))
    assert admit(asked, SESSION, room, DEFAULTS).memory_limit == 8 * GIB


def test_a_default_that_is_cut_is_not_told_to_who_did_not_ask() -> None:
    defaults = Defaults(memory_limit=8 * GIB, pids=4096, deadline=None)
    grant = admit(Intent(), budget(pids=100), ROOM, defaults)
    assert (grant.memory_limit, grant.pids, grant.notes) == (4 * GIB, 100, ())


def test_a_guarantee_is_cut_to_what_the_budget_has_left() -> None:
    intent = Intent(memory=MemoryWish(guarantee=GIB))
    room = replace(ROOM, guaranteed=768 * MIB)
    grant = admit(intent, budget(guarantee=GIB), room, DEFAULTS)
    assert grant.memory_guarantee == 256 * MIB
    assert grant.notes == (
        "memory guarantee 1 GiB cut to 256 MiB: the session's budget for guarantees has 256 MiB "
        "left",
    )


def test_a_guarantee_above_a_limit_that_was_not_asked_for_is_cut_to_it() -> None:
    defaults = Defaults(memory_limit=512 * MIB, pids=64, deadline=None)
    intent = Intent(memory=MemoryWish(guarantee=GIB))
    grant = admit(intent, budget(guarantee=8 * GIB), ROOM, defaults)
    assert grant.memory_guarantee == 512 * MIB
    assert grant.notes == (
        "memory guarantee 1 GiB cut to 512 MiB: that is the call's memory limit",
    )


def test_without_a_budget_for_guarantees_nothing_is_guaranteed() -> None:
    grant = admit(Intent(memory=MemoryWish(guarantee=MIB)), SESSION, ROOM, DEFAULTS)
    assert grant.memory_guarantee == 0
    assert "has 0 B left" in grant.notes[0]


def test_a_budget_that_is_overdrawn_gives_no_guarantee() -> None:
    room = replace(ROOM, guaranteed=2 * GIB)
    intent = Intent(memory=MemoryWish(guarantee=MIB))
    assert admit(intent, budget(guarantee=GIB), room, DEFAULTS).memory_guarantee == 0


def test_a_guarantee_above_the_limit_of_the_same_intent_is_refused() -> None:
    intent = Intent(memory=MemoryWish(guarantee=2 * GIB, limit=GIB))
    with pytest.raises(BadValueError, match=r"guarantee 2 GiB is above memory.limit 1 GiB"):
        admit(intent, SESSION, ROOM, DEFAULTS)


def test_more_pids_than_the_budget_are_cut_and_said() -> None:
    grant = admit(Intent(pids=500), budget(pids=100), ROOM, DEFAULTS)
    assert grant.pids == 100
    assert grant.notes == ("pids 500 cut to the session's budget 100",)


def test_a_priority_above_the_sessions_is_cut_and_below_is_kept() -> None:
    session = replace(SESSION, priority=5)
    assert admit(Intent(), session, ROOM, DEFAULTS).priority == 5
    assert admit(Intent(priority=-5), session, ROOM, DEFAULTS).priority == -5
    grant = admit(Intent(priority=50), session, ROOM, DEFAULTS)
    assert grant.priority == 5
    assert grant.notes == ("priority 50 cut to the session's 5",)


def test_cores_are_those_that_the_fewest_calls_are_bound_to() -> None:
    room = replace(ROOM, cpus=frozenset({2, 3, 4}), cpu_load={2: 1, 3: 2})
    assert admit(Intent(cpu=CpuWish(cores=1.5)), SESSION, room, DEFAULTS).cpus == frozenset({2, 4})


def test_more_cores_than_the_session_has_are_cut_and_said() -> None:
    grant = admit(Intent(cpu=CpuWish(cores=64)), SESSION, ROOM, DEFAULTS)
    assert grant.cpus == frozenset(range(8))
    assert grant.env["OMP_NUM_THREADS"] == "8"
    assert grant.notes == ("cores 64 cut to 8, all that this session may use",)


def test_cores_on_a_host_that_does_not_tell_its_cpus_are_said_not_to_be_bound() -> None:
    room = replace(ROOM, cpus=frozenset())
    grant = admit(Intent(cpu=CpuWish(cores=2)), SESSION, room, DEFAULTS)
    assert grant.cpus is None
    assert "cores 2 not bound" in grant.notes[0]


def test_the_last_call_of_a_budget_is_admitted_and_the_next_is_not() -> None:
    session = budget(calls=3)
    admit(Intent(), session, replace(ROOM, open_calls=2), DEFAULTS)
    with pytest.raises(LimitError, match="3 open calls, its budget is 3: end or close"):
        admit(Intent(), session, replace(ROOM, open_calls=3), DEFAULTS)


BYTES = st.integers(0, 2**40)
INTENTS = st.builds(
    Intent,
    memory=st.builds(MemoryWish, st.none() | BYTES, st.none() | BYTES).filter(
        lambda m: m.limit is None or (m.guarantee or 0) <= m.limit
    ),
    cpu=st.builds(
        CpuWish,
        st.sampled_from(CpuClass),
        st.none() | st.integers(1, 10000),
        st.none() | st.floats(0.001, 4096),
    ),
    pids=st.none() | st.integers(2, 2**22),
    priority=st.none() | st.integers(-100, 100),
    deadline=st.none() | st.floats(0.001, 604800),
)
SESSIONS = st.builds(
    lambda priority, given_budget: replace(SESSION, priority=priority, budget=given_budget),
    st.integers(-100, 100),
    st.builds(Budget, st.none() | BYTES, st.none() | BYTES, st.none() | st.integers(2, 2**22)),
)
ROOMS = st.builds(
    Room,
    st.none() | BYTES,
    BYTES,
    st.integers(0, 255),
    st.frozensets(st.integers(0, 63)),
    st.dictionaries(st.integers(0, 63), st.integers(0, 9)),
)
SOME_DEFAULTS = st.builds(Defaults, st.none() | BYTES, st.integers(2, 2**22), st.none())


@given(INTENTS, SESSIONS, ROOMS, SOME_DEFAULTS)
def test_no_grant_goes_beyond_its_session(
    intent: Intent, session: Session, room: Room, defaults: Defaults
) -> None:
    grant = admit(intent, session, room, defaults)
    limit, most = grant.memory_limit, session.budget
    for bound in (room.calls_limit, most.memory, intent.memory.limit):
        assert bound is None or (limit is not None and limit <= bound)
    assert 0 <= grant.memory_guarantee <= (intent.memory.guarantee or 0)
    assert limit is None or grant.memory_guarantee <= limit
    assert grant.memory_guarantee <= max(0, (most.guarantee or 0) - room.guaranteed)
    assert grant.priority <= session.priority
    assert grant.pids is not None
    assert most.pids is None or grant.pids <= most.pids
    assert 1 <= grant.cpu_weight <= 10000
    if grant.cpus is not None:
        assert intent.cpu.cores is not None
        assert 1 <= len(grant.cpus) <= math.ceil(intent.cpu.cores)
        assert grant.cpus <= room.cpus


@given(INTENTS, SESSIONS, ROOMS, SOME_DEFAULTS)
def test_a_grant_below_the_intent_says_so(
    intent: Intent, session: Session, room: Room, defaults: Defaults
) -> None:
    grant = admit(intent, session, room, defaults)
    less = [
        grant.memory_limit != intent.memory.limit and intent.memory.limit is not None,
        grant.memory_guarantee < (intent.memory.guarantee or 0),
        grant.pids != intent.pids and intent.pids is not None,
        grant.priority != intent.priority and intent.priority is not None,
        intent.cpu.cores is not None and len(grant.cpus or ()) < intent.cpu.cores,
    ]
    assert len(grant.notes) == sum(less)


@given(INTENTS, SESSIONS, ROOMS, BYTES)
def test_more_room_never_means_a_lower_limit_or_guarantee(
    intent: Intent, session: Session, room: Room, more: int
) -> None:
    if room.calls_limit is None:
        return
    wider = replace(room, calls_limit=room.calls_limit + more)
    small = admit(intent, session, room, DEFAULTS)
    large = admit(intent, session, wider, DEFAULTS)
    assert small.memory_limit is not None
    assert large.memory_limit is not None
    assert small.memory_limit <= large.memory_limit
    assert small.memory_guarantee <= large.memory_guarantee
