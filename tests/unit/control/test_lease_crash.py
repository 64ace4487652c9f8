"""GPU leases over a crash of the daemon: what it held, and what the engine is owed."""

from agentcg.control.leasing import Leases
from agentcg.model.gpu import EngineLimit, LeaseState
from agentcg.policy.ledger import GIB
from tests.unit.control.gpu_world import World, call_of
from tests.unit.control.leased import asked, engine, granted, turns


async def restarted(world: World, old: Leases) -> Leases:
    """The daemon was killed, and is there again."""
    desk = old._lessor.desk
    if desk is not None:
        await desk.stop()
    leases = world.leases()
    await leases.recall()
    return leases


async def test_a_lease_of_a_live_call_is_held_again() -> None:
    world = World()
    old = await granted(world.leases(), 1, 20, duration=60.0)
    world.uses[1] = 20 * GIB
    world.guard.held.clear()
    world.clock += 10
    leases = await restarted(world, world.leases())
    await turns(leases)
    found = leases.lease(old.id)
    assert (found.state, found.bytes) == (LeaseState.ACTIVE, 20 * GIB)
    assert world.guard.held == {"c-1": 20 * GIB}
    assert engine(world).limit_now == 38 * GIB
    world.clock += 51
    await turns(leases)
    assert leases.lease(old.id).state is LeaseState.EXPIRING


async def test_a_lease_of_a_gone_call_ends_and_the_engine_gets_all_back() -> None:
    world = World()
    first = world.leases()
    old = await granted(first, 1, 20)
    world.gone.add(call_of(1))
    leases = await restarted(world, first)
    await turns(leases)
    assert leases.lease(old.id).state is LeaseState.RELEASED
    assert engine(world).limit_now == 50 * GIB
    assert not leases._lessor.busy


async def test_it_was_killed_before_the_engine_heard() -> None:
    world = World()
    world.journal.put_limit(EngineLimit(5, 50 * GIB, 30 * GIB))
    engine(world).waiting.append((5, 30 * GIB))
    leases = await restarted(world, world.leases())
    await turns(leases)
    engine(world).deliver()
    assert engine(world).limit_now == 50 * GIB
    assert engine(world).revision == 6


async def test_it_was_killed_while_the_engine_grew() -> None:
    world = World()
    first = world.leases()
    await granted(first, 1, 20)
    world.gone.add(call_of(1))
    engine(world).mode = "lost"
    world.clock += 6
    await first.call_ended(call_of(1))
    await turns(first)
    assert engine(world).limit_now == 38 * GIB
    leases = await restarted(world, first)
    # Until it answers it may still hear of the grow, so nothing beside it is granted.
    task = await asked(leases, 2, 20, wait=60.0)
    assert not task.done()
    engine(world).mode = "applied"
    world.clock += 6
    await turns(leases)
    world.clock += 2
    await turns(leases)
    assert task.result().state is LeaseState.GRANTED
    engine(world).deliver()
    assert engine(world).limit_now == 38 * GIB


async def test_the_clock_of_the_day_was_set_back() -> None:
    world = World()
    first = world.leases()
    old = await granted(first, 1, 6, duration=60.0)
    await restarted(world, first)
    leases = world.leases(now=lambda: 5.0)
    await leases.recall()
    world.clock += 59
    await turns(leases)
    assert leases.lease(old.id).state is LeaseState.GRANTED
    world.clock += 2
    await turns(leases)
    assert leases.lease(old.id).state is LeaseState.RELEASED


async def test_an_engine_that_was_restarted_is_limited_again() -> None:
    world = World()
    leases = world.leases()
    await granted(leases, 1, 20)
    world.uses[1] = 20 * GIB
    engine(world).limit_now = 50 * GIB
    await turns(leases)
    world.clock += 2
    await turns(leases)
    assert engine(world).limit_now == 38 * GIB


async def test_a_journal_that_cannot_be_written_shrinks_nobody() -> None:
    world = World()
    world.journal._db.execute("DROP TABLE engine")
    leases = world.leases()
    lease = await granted(leases, 1, 20)
    assert "journal" in lease.reason
    assert engine(world).demands == []
