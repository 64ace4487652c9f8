"""Leases of GPU memory: granted, held, changed, ended."""

import asyncio
from collections.abc import Callable

import pytest

from agentcg.control.leasing import Leases
from agentcg.errors import ConflictError, LimitError, NotFoundError
from agentcg.model.gpu import (
    GpuNews,
    GuardKind,
    LeaseId,
    LeaseState,
)
from agentcg.policy.ledger import GIB
from tests.unit.control.gpu_world import World, ask, call_of, wish
from tests.unit.control.leased import asked, engine, granted, turns

# 80 GiB: 2 in reserve, 20 of weights, 50 that the engine may map: 8 are free.


@pytest.fixture
def world() -> World:
    return World()


async def test_free_memory_is_granted_and_held_before_the_answer(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 6)
    assert (lease.state, lease.bytes, lease.guard) == (LeaseState.GRANTED, 6 * GIB, "uprobe")
    assert world.guard.held == {"c-1": 6 * GIB}
    assert leases.of_call(call_of(1)) == (lease,)
    assert engine(world).demands == []


async def test_it_is_active_once_used_and_released_once_free(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 6)
    world.uses[1] = 5 * GIB
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.ACTIVE
    assert (await leases.release(lease.id)).state is LeaseState.EXPIRING
    await turns(leases)
    assert leases.lease(lease.id).used == 5 * GIB
    world.clock += 6
    await turns(leases)
    assert world.guard.held == {"c-1": 0}
    world.uses[1] = 0
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.RELEASED
    assert world.guard.held == {}
    assert world.journal.open_leases() == []


async def test_without_an_engine_or_a_gpu() -> None:
    world = World(engine=None)
    assert (await granted(world.leases(), 1, 78)).state is LeaseState.GRANTED
    denied = await granted(world.leases(device=_None()), 1, 1)
    assert "no GPU" in denied.reason


class _None:
    def read(self) -> tuple[()]:
        return ()


async def test_a_driver_that_fails_denies_in_its_words(world: World) -> None:
    world.fails = "NVML: GPU is lost"
    lease = await granted(world.leases(), 1, 1)
    assert "GPU is lost" in lease.reason


async def test_no_guard_no_lease(world: World) -> None:
    world.guard.fails = "no uprobes"
    leases = world.leases()
    lease = await granted(leases, 1, 1)
    assert lease.state is LeaseState.DENIED
    assert "no uprobes" in lease.reason
    assert world.journal.open_leases() == []
    free = leases._book.claims("GPU-0")
    assert free == ()


async def test_without_guards_it_is_granted_and_says_so(world: World) -> None:
    lease = await granted(world.leases(guards=lambda _: ()), 1, 1)
    assert lease.guard is GuardKind.NONE


async def test_it_expires_with_grace(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 6, duration=10.0)
    world.uses[1] = GIB
    world.clock += 11
    await turns(leases)
    news = [(kind, data) for kind, _, data in world.told if kind is GpuNews.REVOKED]
    assert news == [(GpuNews.REVOKED, {"grace": 5.0})]
    assert world.guard.held == {"c-1": 6 * GIB}
    world.clock += 6
    await turns(leases)
    assert world.guard.held == {"c-1": 0}
    world.uses.clear()
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.RELEASED


async def test_a_preemptible_lease_gives_way(world: World) -> None:
    engine(world).running, engine(world).used = 1, 49 * GIB
    leases = world.leases()
    low = await granted(leases, 1, 8, preemptible=True)
    high = await asked(leases, 2, 6, priority=5, wait=60.0)
    await turns(leases)
    assert high.result().bytes == 6 * GIB
    assert "higher priority" in leases.lease(low.id).reason


async def test_who_goes_away_while_waiting_has_nothing(world: World) -> None:
    leases = world.leases()
    task = await asked(leases, 1, 20, wait=60.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.clock += 6
    await turns(leases)
    assert leases.view().leases == ()
    assert engine(world).limit_now == 50 * GIB


async def test_the_call_ends_while_it_waits(world: World) -> None:
    engine(world).mode = "pages"
    engine(world).used = 50 * GIB
    leases = world.leases()
    task = await asked(leases, 1, 20, wait=60.0)
    await leases.call_ended(call_of(1))
    assert "its call is over" in (await task).reason


async def test_what_a_call_asked_for_as_it_closed_is_not_kept(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 6)
    late = asyncio.create_task(ask(leases, 2, wish(1, wait=60.0)))
    world.gone |= {call_of(1), call_of(2)}
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.RELEASED
    assert "its call is over" in (await late).reason


async def test_a_device_that_is_no_more_keeps_no_lease_of_a_call_that_has_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 6)
    world.uses[1] = 5 * GIB
    await turns(leases)
    monkeypatch.setattr(world, "read", tuple)
    await leases.call_ended(call_of(1))
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.RELEASED


async def test_a_lease_is_changed(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 6, duration=10.0)
    more = asyncio.create_task(leases.change(lease.id, memory=20 * GIB))
    await asyncio.sleep(0)
    await turns(leases)
    assert more.result().bytes == 20 * GIB
    assert world.guard.held == {"c-1": 20 * GIB}
    less = await leases.change(lease.id, memory=2 * GIB, extend=5.0)
    assert (less.bytes, less.expires_at) == (2 * GIB, (lease.expires_at or 0) + 5.0)
    never = asyncio.create_task(leases.change(lease.id, memory=200 * GIB))
    await asyncio.sleep(0)
    await turns(leases)
    with pytest.raises(LimitError, match="at most"):
        await never


async def test_one_lease_a_call_and_a_device(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 1)
    with pytest.raises(ConflictError, match="change that one"):
        await ask(leases, 1, wish(1))
    with pytest.raises(ConflictError, match="change that one"):
        await ask(leases, 1, wish(1, gpu="GPU-0"))
    await leases.call_ended(call_of(1))
    with pytest.raises(ConflictError, match="expiring"):
        await leases.change(lease.id, memory=1)
    with pytest.raises(NotFoundError):
        leases.lease(LeaseId("g-none"))


async def test_asks_of_a_session_are_bounded(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 10, 1)
    engine(world).mode = "dead"
    tasks = [await asked(leases, pid, 1, wait=60.0) for pid in range(1, 9)]
    with pytest.raises(LimitError, match="8 calls wait"):
        await ask(leases, 9, wish(1))
    more = asyncio.create_task(leases.change(lease.id, memory=2 * GIB))  # that is no other call
    await asyncio.sleep(0)
    assert not more.done()
    await leases.close()
    with pytest.raises(LimitError, match="the daemon stops"):
        await more
    denied = [await task for task in tasks]
    assert all("the daemon stops" in one.reason for one in denied)


async def test_use_beyond_a_lease_is_told_once(world: World) -> None:
    leases = world.leases()
    await granted(leases, 1, 2)
    world.uses[1] = 3 * GIB
    await turns(leases)
    over = [text for kind, text, _ in world.told if kind is GpuNews.OVER]
    assert len(over) == 1
    assert over[0].startswith("It uses 3 GiB of GPU memory and was granted 2 GiB")


async def test_an_unknown_use_is_charged_in_full(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 6)
    world.uses[1], world.hidden = None, 6 * GIB
    await turns(leases)
    assert leases.lease(lease.id).used is None
    assert leases.lease(lease.id).state is LeaseState.ACTIVE
    await leases.release(lease.id)
    world.clock += 6
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.EXPIRING


def polls(world: World, leases: Leases) -> Callable[[], int]:
    return lambda: leases._book.reads


async def test_it_polls_only_while_there_is_something_to_see(world: World) -> None:
    leases = world.leases()
    await leases.start()
    read = polls(world, leases)
    lease = await ask(leases, 1, wish(6))
    before = read()
    while read() < before + 2:
        await asyncio.sleep(0.01)
    await leases.release(lease.id)
    while leases._lessor.busy:
        await asyncio.sleep(0.01)
    assert (await leases.look()).devices
    assert (await leases.look()).reserve == 2 * GIB
    await leases.close()


async def test_where_the_driver_does_not_tell_who_it_ends_with_the_call(world: World) -> None:
    world.attributed = False
    leases = world.leases()
    lease = await granted(leases, 1, 6)
    world.uses[1] = 6 * GIB
    await leases.release(lease.id)
    world.clock += 6
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.EXPIRING
    world.uses.clear()
    await leases.call_ended(call_of(1))
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.RELEASED
