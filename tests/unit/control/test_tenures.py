"""Leases while their guard is being told: it may be slow, and others come meanwhile."""

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from agentcg.control import tenures
from agentcg.errors import AgentcgError, ConflictError, UnavailableError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import Lease, LeaseState
from agentcg.policy.ledger import GIB
from tests.unit.control.gpu_world import FakeGuard, World, ask, call_of, wish
from tests.unit.control.leased import granted, turns


@dataclass
class SlowGuard(FakeGuard):
    """One that takes its time once it is told to."""

    go: threading.Event = field(default_factory=threading.Event)
    at: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.go.set()
        self.pause = self._wait

    def slow(self) -> None:
        self.go.clear()
        self.at.clear()

    def _wait(self) -> None:
        self.at.set()
        self.go.wait(60.0)


@pytest.fixture
def guard() -> SlowGuard:
    return SlowGuard()


@pytest.fixture
def world(guard: SlowGuard) -> World:
    return World(engine=None, guard=guard)


async def seen(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.001)


async def test_two_changes_at_once_are_not_both_made(world: World, guard: SlowGuard) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 40)
    guard.slow()
    less = asyncio.create_task(leases.change(lease.id, memory=10 * GIB))
    await seen(guard.at)
    with pytest.raises(ConflictError, match="being changed"):
        await leases.change(lease.id, memory=60 * GIB)
    guard.go.set()
    assert (await less).bytes == 10 * GIB


async def test_one_that_comes_while_another_is_granted_is_answered(
    world: World, guard: SlowGuard
) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 10)
    guard.slow()
    more = asyncio.create_task(leases.change(lease.id, memory=20 * GIB))
    await asyncio.sleep(0)
    turn = asyncio.create_task(leases.turn())
    await seen(guard.at)
    with pytest.raises(ConflictError, match="being changed"):
        await leases.change(lease.id, memory=30 * GIB)
    guard.go.set()
    await turn
    assert (await more).bytes == 20 * GIB


async def test_who_withdraws_a_change_keeps_the_lease(world: World, guard: SlowGuard) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 10)
    guard.slow()
    more = asyncio.create_task(leases.change(lease.id, memory=20 * GIB))
    await asyncio.sleep(0)
    turn = asyncio.create_task(leases.turn())
    await seen(guard.at)
    more.cancel()
    with pytest.raises(asyncio.CancelledError):
        await more
    guard.go.set()
    await turn
    assert leases.lease(lease.id).state is LeaseState.GRANTED


async def test_nothing_is_granted_that_is_not_in_the_journal(
    world: World, guard: SlowGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = world.leases()
    monkeypatch.setattr(world.journal, "put_lease", lambda _: False)
    task = asyncio.create_task(ask(leases, 1, wish(10)))
    await asyncio.sleep(0)
    await turns(leases)
    assert "journal" in (await task).reason
    assert guard.held == {}
    assert leases.of_call(call_of(1))[0].state is LeaseState.DENIED


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards have no time to answer."""
    monkeypatch.setattr(tenures, "_HOLDING", 0.05)


@pytest.mark.usefixtures("hasty")
async def test_what_a_late_guard_may_hold_is_charged_until_it_let_go(
    world: World, guard: SlowGuard
) -> None:
    leases = world.leases()
    guard.slow()
    task = asyncio.create_task(ask(leases, 1, wish(40)))
    await asyncio.sleep(0)
    await turns(leases)
    assert "did not answer" in (await task).reason
    assert [one.bytes for one in leases._book.claims("GPU-0")] == [40 * GIB]
    guard.go.set()
    while leases._book.held:
        await turns(leases)
    assert guard.held == {}
    assert world.journal.open_leases() == []


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("size", [5, 20])
async def test_a_change_that_a_guard_does_not_answer_is_undone(
    world: World, guard: SlowGuard, size: int
) -> None:
    leases = world.leases()
    lease = await granted(leases, 1, 10)
    guard.slow()
    change = asyncio.create_task(leases.change(lease.id, memory=size * GIB))
    while not change.done():
        await turns(leases, 1)
    with pytest.raises(AgentcgError, match="did not answer"):
        await change
    assert leases.lease(lease.id).bytes == max(size, 10) * GIB
    guard.go.set()
    while leases._book.held[lease.id].back is not None:
        await turns(leases, 1)
    assert leases.lease(lease.id).bytes == 10 * GIB
    assert guard.held == {"c-1": 10 * GIB}


async def test_a_guard_that_does_not_let_go_keeps_the_lease_until_its_call_has_gone(
    world: World, guard: SlowGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(lease: Lease, leaf: CgroupDir) -> None:
        raise UnavailableError("busy")

    leases = world.leases()
    lease = await granted(leases, 1, 10)
    monkeypatch.setattr(guard, "release", fails)
    await leases.release(lease.id)
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.EXPIRING
    world.gone.add(call_of(1))
    await turns(leases)
    assert leases.lease(lease.id).state is LeaseState.RELEASED
