"""A daemon's leases, driven turn by turn."""

import asyncio
from typing import Any

from agentcg.control.leasing import Leases
from agentcg.model.gpu import Lease
from tests.unit.control.gpu_world import FakeEngine, World, ask, wish


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
