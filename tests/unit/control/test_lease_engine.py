"""Leases beside an engine that obeys the caveats of real ones: idle, deaf, hanging, dead."""

from dataclasses import replace

import pytest

from agentcg.control import lease_engine
from agentcg.model.gpu import (
    EngineLimit,
    GpuNews,
    GpuReading,
    LeaseState,
    ProgramId,
    ProgramPhase,
    Shrink,
    ShrinkResult,
    ShrinkStatus,
)
from agentcg.model.ids import SessionId
from agentcg.policy.ledger import GIB, Rules
from tests.unit.control.gpu_world import World, call_of
from tests.unit.control.leased import asked, engine, granted, turns

# 80 GiB: 2 in reserve, 20 of weights, 50 that the engine may map: 8 are free.


@pytest.fixture
def world() -> World:
    return World()


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


async def test_one_that_is_deaf_closes_the_device_for_a_part_of_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(world).mode, engine(world).used = "pages", 50 * GIB
    limits: list[float] = []
    demand = engine(world).limit

    def blocks(kv_bytes: int, *, revision: int, timeout: float) -> ShrinkResult:
        limits.append(timeout)
        world.clock += timeout
        found = demand(kv_bytes, revision=revision, timeout=timeout)
        return replace(found, status=ShrinkStatus.DEFERRED)

    monkeypatch.setattr(engine(world), "limit", blocks)
    leases = world.leases()
    task = await asked(leases, 1, 20, wait=1000.0)
    await turns(leases, 5)
    assert limits == [10.0]
    world.clock += 1.1
    await turns(leases, 5)
    assert limits == [10.0, 1.0]
    await leases.close()
    await task


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


async def test_the_engine_is_not_kept_small_for_one_who_waits_for_a_lease(world: World) -> None:
    leases = world.leases()
    await granted(leases, 1, 30)
    world.uses[1] = 30 * GIB
    await turns(leases)
    small = await granted(leases, 2, 10)
    engine(world).alloc(18 * GIB)
    waits = await asked(leases, 3, 40, wait=1000.0)
    await leases.call_ended(call_of(2))
    world.clock += 6
    await turns(leases)
    assert leases.lease(small.id).state is LeaseState.RELEASED
    assert not waits.done()
    assert engine(world).limit_now == 28 * GIB
    await leases.close()
    await waits


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


class _Two:
    """A second device beside that of the engine."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self) -> tuple[GpuReading, ...]:
        (one,) = self._world.read()
        spare = replace(one, uuid="GPU-1", used=0, free=one.total // 2, processes=())
        return one, spare


async def test_of_two_devices_the_engine_s_is_the_named_one_or_it_is_left_alone(
    world: World,
) -> None:
    engine(world).pids = ()
    unnamed = world.leases(device=_Two(world))
    refused = await granted(unnamed, 1, 20, gpu="GPU-0")
    assert "gpu.engine.gpu" in refused.reason
    assert engine(world).demands == []
    named = world.leases(device=_Two(world), engine_gpu="GPU-0")
    assert (await granted(named, 1, 38)).gpu == "GPU-1"  # there is no engine
    lease = await granted(named, 2, 20)
    assert engine(world).limit_now == 38 * GIB
    await named.release(lease.id)
    world.clock += 6
    await turns(named)
    assert engine(world).limit_now == 50 * GIB
    wrong = world.leases(device=_Two(world), engine_gpu="GPU-9")
    assert "gpu.engine.gpu" in (await granted(wrong, 3, 20, gpu="GPU-0")).reason


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


async def test_programs_in_long_tool_calls_give_their_kv(world: World) -> None:
    engine(world).running, engine(world).used = 2, 49 * GIB
    leases = world.leases()
    session, program = SessionId("s"), ProgramId("p")
    engine(world).kv["p"] = 9 * GIB
    told = await leases.program_event(
        session, program, ProgramPhase.TOOL_START, kv_bytes=9 * GIB, tool="make", eta=600.0
    )
    assert told.tool_eta == 600.0
    await leases.program_event(SessionId("t"), program, ProgramPhase.END)  # of another's
    lease = await granted(leases, 1, 14)
    assert lease.bytes == 14 * GIB
    assert engine(world).evicted == ["p"]
    assert leases._programs.known[session, program].kv_bytes == 0
    leases.session_closed(session)
    assert not leases._programs.known


@pytest.mark.parametrize("evicts", [False, True])
async def test_kv_that_a_program_only_says_it_has_is_not_taken(world: World, evicts: bool) -> None:
    engine(world).used, engine(world).running, engine(world).evicts = 40 * GIB, 2, evicts
    leases = world.leases()
    for n in range(2):
        await leases.program_event(
            SessionId("s"),
            ProgramId(f"p{n}"),
            ProgramPhase.TOOL_START,
            kv_bytes=30 * GIB,
            tool="make",
            eta=600.0,
        )
    task = await asked(leases, 1, 50, wait=60.0)
    await turns(leases)
    assert not task.done()
    assert engine(world).limit_now * 0.95 >= engine(world).used == 40 * GIB
    await leases.close()
    await task


async def test_an_id_that_two_sessions_use_frees_nothing(world: World) -> None:
    leases = world.leases()
    for session in ("s", "t"):
        await leases.program_event(
            SessionId(session), ProgramId("p"), ProgramPhase.TOOL_START, kv_bytes=GIB, eta=600.0
        )
    assert leases._programs.idle(GIB) == []
    leases.session_closed(SessionId("t"))
    assert [one.program for one in leases._programs.idle(GIB)] == ["p"]


class _Freeing:
    """A driver that is read just after the engine unmapped what it may map again."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self) -> tuple[GpuReading, ...]:
        engine(self._world).free(38 * GIB)
        return self._world.read()


async def test_what_it_unmaps_between_two_readings_is_not_taken_for_free(world: World) -> None:
    engine(world).used = 48 * GIB
    lease = await granted(world.leases(device=_Freeing(world)), 1, 12)
    assert lease.bytes == 12 * GIB
    assert engine(world).limit_now == 46 * GIB


async def test_a_use_that_grew_since_the_last_reading_counts_once_it_is_seen_twice(
    world: World,
) -> None:
    leases = world.leases()
    await granted(leases, 1, 6)
    world.uses[1] = 6 * GIB
    await turns(leases, 1)
    assert [one.untaken for one in leases._book.claims("GPU-0")] == [6 * GIB]
    assert [one.untaken for one in leases._book.claims("GPU-0", sure=True)] == [0]
    await turns(leases, 1)
    assert [one.untaken for one in leases._book.claims("GPU-0")] == [0]


@pytest.mark.parametrize("mode", ["applied", "deferred", "dead"])
async def test_a_stop_without_a_lease_gives_the_engine_all_back_or_leaves_it_to_the_next(
    world: World, mode: str
) -> None:
    leases = world.leases()
    await granted(leases, 1, 20)
    engine(world).mode = mode
    await leases.close()
    assert engine(world).limit_now == 38 * GIB  # a lease is held, which the next daemon takes up
    again = world.leases()
    await again.recall()
    again._book.held.clear()
    await again.close()
    left = world.journal.limit()
    given = 50 * GIB if mode == "applied" else 38 * GIB
    assert left == EngineLimit(2, 50 * GIB, given)
    assert engine(world).limit_now == given
    assert world.told[-1][0] is GpuNews.ENGINE
