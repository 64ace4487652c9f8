"""Who comes first for GPU memory, who may pass whom, and what the engine gets back."""

from dataclasses import replace

import pytest

from agentcg.model.gpu import LeaseId, Shrink
from agentcg.policy.lease_plan import Ask, Deny, Grant, Make, Wait
from agentcg.policy.lease_queue import Planned, give_back, plan, protect, stall
from agentcg.policy.ledger import GIB, Allowance, Claim, Ledger, Rules

RULES = Rules(reserve=2 * GIB)
ENGINE = Allowance(30 * GIB, 20 * GIB, told=30 * GIB, was=50 * GIB, shrink=Shrink.BYTES)


def device(name: str, room: int, *claims: Claim, engine: Allowance | None = None) -> Ledger:
    untaken = sum(c.untaken for c in claims) + (engine.untaken if engine else 0)
    return Ledger(name, 80 * GIB, room + 2 * GIB + untaken, RULES, claims, engine)


def ask(name: str, gib: int, since: float = 0.0, priority: int = 0, gpu: str | None = None) -> Ask:
    return Ask(LeaseId(name), gib * GIB, gib * GIB, priority, since, 1e9, 1e9, gpu)


def steps(asks: list[Ask], *devices: Ledger, now: float = 1.0) -> dict[str, Planned]:
    found = plan(asks, {one.gpu: one for one in devices}, [], now, RULES)
    return {one.ask.lease: one for one in found}


def granted(found: dict[str, Planned]) -> list[str]:
    return [name for name, one in found.items() if isinstance(one.step, Grant)]


def full(gib: int) -> Claim:
    return Claim(LeaseId("full"), gib * GIB, gib * GIB)


def test_all_that_is_granted_at_once_fits_together() -> None:
    found = steps([ask(n, 4, since=i) for i, n in enumerate("abc")], device("0", 10 * GIB))
    assert granted(found) == ["a", "b"]


def test_the_higher_priority_first_then_the_older() -> None:
    asks = [ask("old", 8, 0.0), ask("older", 8, -1.0), ask("high", 8, 0.9, priority=5)]
    assert granted(steps(asks, device("0", 9 * GIB))) == ["high"]
    assert granted(steps(asks[:2], device("0", 9 * GIB))) == ["older"]


def test_a_small_one_passes_a_big_one_that_waits_but_not_for_ever() -> None:
    asks = [ask("big", 20, 0.0), ask("small", 1, 5.0)]
    on = device("0", 10 * GIB, full(40))
    assert granted(steps(asks, on, now=6.0)) == ["small"]
    assert granted(steps(asks, on, now=11.0)) == []

    assert granted(steps(asks, on, now=71.0)) == ["small"]


def test_waiting_is_worth_some_priority() -> None:
    asks = [ask("old", 8, 0.0), ask("high", 8, 99.0, priority=9)]
    assert granted(steps(asks, device("0", 9 * GIB), now=5.0)) == ["high"]
    assert granted(steps(asks, device("0", 9 * GIB), now=100.0)) == ["old"]
    higher = [asks[0], replace(asks[1], priority=11)]
    assert granted(steps(higher, device("0", 9 * GIB), now=1e6)) == ["high"]


def test_a_starved_one_shuts_only_the_devices_that_it_could_have() -> None:
    asks = [ask("big", 20, 0.0, gpu="0"), ask("small", 1, 5.0)]
    found = steps(asks, device("0", 10 * GIB, full(40)), device("1", 2 * GIB), now=11.0)
    assert found["small"].gpu == "1"


def test_what_is_being_made_for_one_is_not_granted_to_another() -> None:
    asks = [ask("first", 18, 0.0), ask("second", 9, 0.5)]
    engine = replace(ENGINE, used=10 * GIB)
    # Nor is who comes behind turned away for that, as long as it is being made.
    asks[1] = replace(asks[1], until=0.0, patience=15.0)
    found = steps(asks, device("0", 10 * GIB, engine=engine))
    assert found["first"].step == Make(22 * GIB)
    assert isinstance(found["second"].step, Wait)


def test_any_device_will_do_the_one_with_the_most_room_first() -> None:
    devices = [device("0", 5 * GIB), device("1", 9 * GIB)]
    assert steps([ask("a", 4)], *devices)["a"].gpu == "1"
    assert isinstance(steps([ask("a", 4, gpu="no")], *devices)["a"].step, Deny)
    assert isinstance(steps([ask("a", 4)])["a"].step, Deny)


@pytest.mark.parametrize(("now", "denied"), [(59.0, False), (60.0, True)])
def test_who_waited_as_long_as_it_wished_is_denied(now: float, denied: bool) -> None:
    one = replace(ask("a", 4), until=60.0)
    found = steps([one], device("0", 1 * GIB, full(40)), now=now)
    assert isinstance(found["a"].step, Deny) is denied
    assert isinstance(stall([one], "silent", now)[0].step, Deny) is denied


def test_who_has_memory_made_for_it_is_denied_only_later() -> None:
    on = device("0", 1 * GIB, engine=replace(ENGINE, told=20 * GIB))
    one = replace(ask("a", 8), until=0.0, patience=15.0)
    assert isinstance(steps([one], on, now=14.0)["a"].step, Wait)
    assert isinstance(steps([one], on, now=15.0)["a"].step, Deny)


@pytest.mark.parametrize(("room", "back"), [(25, 50), (10, 40), (0.1, None), (0, None), (-1, None)])
def test_the_engine_gets_back_what_is_seen_free(room: float, back: int | None) -> None:
    found = give_back(device("0", int(room * GIB), engine=ENGINE), rested=True)
    assert found == (None if back is None else back * GIB)


def test_one_that_is_not_full_gets_it_after_a_rest() -> None:
    on = device("0", 10 * GIB, engine=ENGINE)
    assert give_back(on, rested=False) is None
    pressed = device("0", 10 * GIB, engine=replace(ENGINE, used=26 * GIB))
    assert give_back(pressed, rested=False) == 40 * GIB


def test_all_or_nothing_is_given_back_as_a_whole() -> None:
    engine = Allowance(0, 0, told=0, was=50 * GIB, shrink=Shrink.ALL_KV)
    assert give_back(device("0", 49 * GIB, engine=engine), rested=True) is None
    assert give_back(device("0", 50 * GIB, engine=engine), rested=True) == 50 * GIB


def test_what_an_engine_maps_beyond_its_limit_it_may_keep_if_nobody_needs_it() -> None:
    engine = replace(ENGINE, limit=10 * GIB, told=10 * GIB)
    assert give_back(device("0", 1 * GIB, engine=engine), rested=True) == 21 * GIB


def test_more_is_promised_than_there_is() -> None:
    lease = Claim(LeaseId("g"), 8 * GIB, 0)
    assert protect(device("0", -3 * GIB, lease, engine=ENGINE)) == 27 * GIB
    assert protect(device("0", -30 * GIB, lease, engine=ENGINE)) == 20 * GIB
    assert protect(device("0", -3 * GIB, engine=ENGINE)) is None
    assert protect(device("0", 0, lease, engine=ENGINE)) is None
