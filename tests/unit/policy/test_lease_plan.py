"""From where memory of a GPU is taken, cheapest first."""

from dataclasses import replace

from agentcg.model.gpu import LeaseId, ProgramId, Shrink
from agentcg.policy import lease_words as words
from agentcg.policy.lease_plan import Ask, Deny, Grant, Idle, Make, Revoke, Step, Wait, decide
from agentcg.policy.ledger import GIB, Allowance, Claim, Ledger, Rules

RULES = Rules(reserve=2 * GIB, floor=4 * GIB, engine_priority=10)
# 20 GiB of weights; the engine may map 40 GiB and has mapped 19.
ENGINE = Allowance(limit=40 * GIB, used=19 * GIB, told=40 * GIB, was=40 * GIB, shrink=Shrink.BYTES)
BUSY = replace(ENGINE, used=38 * GIB, running=3)


def ledger(engine: Allowance | None = ENGINE, *claims: Claim, total: int = 80 * GIB) -> Ledger:
    used = 20 * GIB + (engine.used if engine else 0) + sum(c.used or 0 for c in claims)
    return Ledger("GPU-0", total, total - used, RULES, claims, engine)


def claim(name: str, gib: int, **more: object) -> Claim:
    return replace(Claim(LeaseId(name), gib * GIB, used=gib * GIB), **more)  # type: ignore[arg-type]


def step(
    gib: float, on: Ledger, *idle: Idle, least: float | None = None, priority: int = 0
) -> Step:
    smallest = gib if least is None else least
    ask = Ask(LeaseId("g"), int(gib * GIB), int(smallest * GIB), priority, 0.0, 60.0, 75.0)
    return decide(ask, on, idle, 100.0)


def test_free_memory_is_granted_in_whole_quanta() -> None:
    assert step(17.9, ledger()) == Grant(18 * GIB)


def test_then_kv_that_is_not_mapped_as_far_as_the_engine_stays_below_95_percent() -> None:
    assert step(30, ledger()) == Make(28 * GIB)
    assert isinstance(step(38.5, ledger(replace(ENGINE, running=1))), Wait)


def test_then_kv_of_programs_in_a_long_tool_call_the_smallest_first() -> None:
    idle = [Idle(ProgramId(f"p{n}"), n * 3 * GIB) for n in (1, 2, 3)]
    assert step(39, ledger(), *idle) == Make(19 * GIB, (ProgramId("p1"),))


def test_then_a_part_of_the_wish() -> None:
    assert step(60, ledger(BUSY), least=15) == Grant(18 * GIB)


def test_then_leases_of_lower_priority_the_lowest_first() -> None:
    low = claim("low", 8, priority=-5, preemptible=True)
    lower = claim("lower", 4, priority=-9, preemptible=True)
    fixed = claim("fixed", 6, priority=-9)
    full = ledger(BUSY, low, lower, fixed)
    assert step(4, full) == Revoke((LeaseId("lower"),))
    assert step(10, full) == Revoke((LeaseId("lower"), LeaseId("low")))
    assert isinstance(step(4, full, priority=-9), Wait)


def test_what_was_seen_once_only_is_waited_for_and_no_reason_to_refuse() -> None:
    grown = replace(claim("grown", 56, doubt=56 * GIB), used=0)
    # It has all that it may have by now; by the books of before it is still to take that.
    full = replace(ledger(None, grown), free=4 * GIB)
    assert step(2, full) == Wait(words.UNSURE, making=True)
    seen = replace(full, claims=(claim("grown", 56),))
    assert step(2, seen) == Grant(2 * GIB)
    assert isinstance(step(60, full), Deny)


def test_what_is_ending_is_waited_for() -> None:
    found = step(4, ledger(BUSY, claim("over", 18, ending=True)))
    assert isinstance(found, Wait)
    assert found.making


def test_then_the_kv_in_use_if_the_lease_is_above_the_engine_or_nothing_runs() -> None:
    assert isinstance(step(30, ledger(BUSY)), Wait)
    assert step(30, ledger(BUSY), priority=11) == Make(28 * GIB, disrupts=True)
    assert step(30, ledger(replace(BUSY, running=0))) == Make(28 * GIB, disrupts=True)


def test_that_is_done_once_in_a_minute() -> None:
    found = step(30, ledger(replace(BUSY, disrupted_at=60.0)), priority=11)
    assert isinstance(found, Wait)
    assert found.eta == 20.0


def test_an_engine_that_gives_all_or_nothing_gives_all() -> None:
    engine = replace(BUSY, shrink=Shrink.ALL_KV, running=0)
    assert step(30, ledger(engine)) == Make(0, disrupts=True)
    assert isinstance(step(30, ledger(replace(engine, running=1))), Wait)


def test_an_engine_that_has_not_obeyed_yet_is_waited_for_and_not_asked_for_more() -> None:
    deaf = replace(ENGINE, told=28 * GIB)
    holding = replace(ENGINE, limit=10 * GIB, told=10 * GIB)
    for engine in (deaf, holding):
        found = step(26, ledger(engine))
        assert isinstance(found, Wait | Grant)
    found = step(30, ledger(deaf))
    assert isinstance(found, Wait)
    assert found.making


def test_an_engine_that_refused_is_let_be_and_the_reason_is_its_own() -> None:
    found = step(30, ledger(replace(ENGINE, refused="it did not (requests run)")))
    assert found == Wait("it did not (requests run)")


def test_who_waits_is_told_when_leases_end() -> None:
    found = step(4, ledger(BUSY, claim("a", 3, until=160.0), claim("b", 15, until=130.0)))
    assert isinstance(found, Wait)
    assert found.eta == 30.0


def test_what_can_never_be_is_denied_in_numbers() -> None:
    found = step(60, ledger())
    assert isinstance(found, Deny)
    assert "at most 54 GiB of this GPU's 80 GiB" in found.reason


def test_an_unknown_use_counts_in_full_and_is_no_reason_to_deny() -> None:
    unknown = claim("a", 18, used=None)
    on = replace(ledger(BUSY), claims=(unknown,), free=4 * GIB)
    assert on.room < 0
    assert isinstance(step(16, on), Wait)


def test_a_closed_device_grants_nothing() -> None:
    assert step(1, replace(ledger(), closed="why")) == Wait("why")


def test_while_the_engine_is_asked_nobody_is_told_that_it_can_never_be() -> None:
    assert step(30, replace(ledger(None), closed="why", busy=True)) == Wait("why", making=True)
    assert step(70, replace(ledger(None), closed="why")) == Wait("why")
