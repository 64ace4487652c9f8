"""Leases of GPU memory, with an engine that obeys the caveats of real ones."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agentcg.control import bounded, lease_engine
from agentcg.control.leasing import Leases
from agentcg.errors import ConflictError, LimitError, NotFoundError
from agentcg.model.gpu import (
    GpuNews,
    GuardKind,
    Lease,
    LeaseId,
    LeaseState,
    ProgramId,
    ProgramPhase,
    Shrink,
)
from agentcg.model.ids import SessionId
from agentcg.policy.ledger import GIB, Rules
from tests.unit.control.gpu_world import FakeEngine, World, ask, call_of, wish

# 80 GiB: 2 in reserve, 20 of weights, 50 that the engine may map: 8 are free.


@pytest.fixture
def world() -> World:
    return World()


async def turns(leases: Leases, count: int = 3) -> None:
    for _ in range(count):
        await leases.turn()
        await quiet(leases)
        await asyncio.sleep(0)  # so that who was answered has heard


async def quiet(leases: Leases) -> None:
    """Until no demand of the engine is on its way."""
    desk = leases._lessor.desk
    while desk is not None and desk.busy:
        await asyncio.sleep(0)


async def asked(leases: Leases, pid: int, gib: float, **more: Any) -> asyncio.Task[Lease]:
    """One that asks, and has been looked at once."""
    priority = more.pop("priority", 0)
    task = asyncio.create_task(ask(leases, pid, wish(gib, **more), priority))
    await asyncio.sleep(0)
    await turns(leases, 1)
    return task


async def granted(leases: Leases, pid: int, gib: float, **more: Any) -> Lease:
    task = await asked(leases, pid, gib, **more)
    await turns(leases)
    assert task.done()
    return task.result()


def engine(world: World) -> FakeEngine:
    assert world.engine is not None
    return world.engine


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


async def test_the_engine_makes_room_and_gets_it_back_when_seen_free(world: World) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 20)
    assert lease.revision == 1
    assert engine(world).limit_now == 38 * GIB
    world.uses[1] = 20 * GIB
    await turns(leases)
    await leases.call_ended(call_of(1))
    world.clock += 6
    await turns(leases)
    assert engine(world).limit_now == 38 * GIB  # its processes hold it still
    del world.uses[1]
    await turns(leases)
    assert engine(world).limit_now == 50 * GIB
    assert [revision for revision, _ in engine(world).demands] == [1, 2]


async def test_an_idle_engine_hears_of_it_at_the_next_poke(world: World) -> None:
    engine(world).mode = "deferred"
    leases = world.leases()
    task = await asked(leases, 1, 20)
    await turns(leases)
    assert not task.done()
    assert leases.of_call(call_of(1))[0].state is LeaseState.SHRINKING
    world.clock += 1.1
    await turns(leases, 2)
    assert task.result().bytes == 20 * GIB


async def test_pages_in_use_are_waited_for_and_not_believed(world: World) -> None:
    engine(world).mode = "pages"
    engine(world).used = 48 * GIB
    leases = world.leases()
    task = await asked(leases, 1, 20, wait=100.0)
    await turns(leases)
    assert engine(world).limit_now == 38 * GIB
    assert not task.done()
    engine(world).free(38 * GIB)
    await turns(leases, 1)
    assert task.result().bytes == 20 * GIB


async def test_a_stale_revision_is_raised(world: World) -> None:
    engine(world).revision = 7
    lease = await granted(world.leases(), 1, 20)
    assert lease.revision == 8


async def test_an_engine_that_refuses_is_asked_later_and_the_asker_told_why(world: World) -> None:
    engine(world).mode = "rejected"
    leases = world.leases()
    task = await asked(leases, 1, 20)
    await turns(leases)
    assert task.result().state is LeaseState.DENIED
    assert "requests run" in task.result().reason
    assert len(engine(world).demands) == 1
    later = await asked(leases, 1, 20, wait=60.0)
    engine(world).mode = "applied"
    world.clock += 6
    await turns(leases)
    assert later.result().bytes == 20 * GIB


async def test_a_dead_engine_stops_grants_beside_it_and_nothing_else(world: World) -> None:
    engine(world).mode = "dead"
    lease = await granted(world.leases(), 1, 1)
    assert lease.state is LeaseState.DENIED
    assert "does not answer (connection refused)" in lease.reason


async def test_a_hanging_engine_hangs_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_engine, "_MARGIN", 0.0)
    world.rules = Rules(reserve=2 * GIB, timeout=0.05)
    engine(world).mode = "hang"
    leases = world.leases()
    task = await asked(leases, 1, 20)
    await turns(leases)
    world.clock += 6
    await turns(leases)
    assert task.result().state is LeaseState.DENIED
    assert "hangs" in task.result().reason
    engine(world).hanging.set()


async def test_one_that_gives_all_or_nothing(world: World) -> None:
    engine(world).shrink = Shrink.ALL_KV
    leases = world.leases()
    lease = await granted(leases, 1, 20)
    assert engine(world).limit_now == 0
    await leases.release(lease.id)
    world.clock += 6
    await turns(leases)
    assert engine(world).limit_now == 50 * GIB


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
    other = await granted(leases, 1, 1)
    assert other.state is LeaseState.DENIED
    with pytest.raises(ConflictError):
        await ask(leases, 1, wish(1, gpu="GPU-0"))
    await leases.call_ended(call_of(1))
    with pytest.raises(ConflictError, match="expiring"):
        await leases.change(lease.id, memory=1)
    with pytest.raises(NotFoundError):
        leases.lease(LeaseId("g-none"))


async def test_asks_of_a_session_are_bounded(world: World) -> None:
    engine(world).mode = "dead"
    leases = world.leases()
    tasks = [await asked(leases, pid, 1, wait=60.0) for pid in range(1, 9)]
    with pytest.raises(LimitError, match="8 calls wait"):
        await ask(leases, 9, wish(1))
    await leases.close()
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


async def test_programs_in_long_tool_calls_give_their_kv(world: World) -> None:
    engine(world).running, engine(world).used = 2, 49 * GIB
    leases = world.leases()
    session, program = SessionId("s"), ProgramId("p")
    told = await leases.program_event(
        session, program, ProgramPhase.TOOL_START, kv_bytes=9 * GIB, tool="make", eta=600.0
    )
    assert told.tool_eta == 600.0
    with pytest.raises(ConflictError):
        await leases.program_event(SessionId("t"), program, ProgramPhase.END)
    lease = await granted(leases, 1, 14)
    assert lease.bytes == 14 * GIB
    assert engine(world).evicted == ["p"]
    leases.session_closed(session)


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


async def test_what_hangs_is_not_called_again_until_it_returns() -> None:
    import threading

    from agentcg.errors import UnavailableError

    gate = threading.Event()
    one = bounded.Bounded("it")
    with pytest.raises(UnavailableError, match="did not answer"):
        await one.do(gate.wait, 0.01)
    with pytest.raises(UnavailableError, match="hangs"):
        await one.do(gate.wait, 10.0)
    gate.set()
    while one._last is not None and not one._last.done():
        await asyncio.sleep(0.001)
    assert await one.do(lambda: 5, 10.0) == 5
    with pytest.raises(UnavailableError, match="ZeroDivisionError"):
        await one.do(lambda: 1 // 0, 10.0)
