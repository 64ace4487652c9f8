"""For any interleaving: never more promised than there is, and no grow of the engine's lost."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcg.control.bounded import Bounded
from agentcg.control.leasing import Leases
from agentcg.errors import AgentcgError
from agentcg.model.gpu import Lease, LeaseState
from agentcg.policy.ledger import GIB, Rules
from tests.unit.control.gpu_world import World, ask, call_of, wish
from tests.unit.control.leased import engine, turns

WAS = 50 * GIB
RULES = Rules(reserve=2 * GIB, floor=2 * GIB)
CALLS = st.integers(1, 3)
SHARE = st.sampled_from([0.1, 0.5, 1.0])
MODES = ["applied", "applied", "applied", "lost", "lost", "deferred", "pages", "rejected", "dead"]

OPS = st.one_of(
    st.tuples(st.just("ask"), CALLS, st.sampled_from([4, 12, 25]), st.booleans(), st.booleans()),
    st.tuples(st.just("free"), CALLS),
    st.tuples(st.just("use"), CALLS, SHARE),
    st.tuples(st.just("release"), CALLS),
    st.tuples(st.just("call_over"), CALLS),
    st.tuples(st.just("change"), CALLS, st.integers(1, 40)),
    st.tuples(st.just("cancel"), CALLS),
    st.tuples(st.just("mode"), st.sampled_from(MODES)),
    st.tuples(st.just("turn")),
    st.tuples(st.just("lose")),
    st.tuples(st.just("stale")),
    st.tuples(st.just("deliver")),
    st.tuples(st.just("map"), SHARE),
    st.tuples(st.just("unmap"), SHARE),
    st.tuples(st.just("run"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.2, 1.1, 6.0, 61.0])),
    st.tuples(st.just("driver")),
    st.tuples(st.just("crash")),
)

# What callers do comes at any time, also while a turn awaits the driver, a guard, or the engine.
AMID = {"ask", "release", "call_over", "change", "cancel"}


@dataclass
class Play:
    """The world, the daemon in it, and what the calls do."""

    world: World = field(default_factory=lambda: World(rules=RULES))
    leases: Leases = field(init=False)
    tasks: dict[int, asyncio.Task[Lease | None]] = field(default_factory=dict)
    number: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.leases = self.world.leases()

    def pid(self, slot: int) -> int:
        """Of the call that a slot has now; each call is over once."""
        return slot + 10 * self.number.get(slot, 0)

    def lease(self, slot: int) -> Lease | None:
        mine = self.leases.of_call(call_of(self.pid(slot)))
        return next((one for one in mine if one.bytes and one.state != "released"), None)

    async def do(self, op: tuple[object, ...], *, amid: bool) -> None:
        """`amid` a turn, or after one."""
        turn = asyncio.create_task(self.leases.turn()) if amid and op[0] in AMID else None
        await asyncio.sleep(0)
        await getattr(self, str(op[0]))(*op[1:])
        if turn is not None:
            await turn
        await turns(self.leases, 1)
        self.check()
        for task in self.tasks.values():
            if task.done() and not task.cancelled():
                task.result()

    async def ask(self, slot: int, gib: int, waits: bool, high: bool) -> None:
        if slot not in self.tasks or self.tasks[slot].done():
            wanted = wish(gib, wait=30.0 if waits else 0.0, preemptible=not high)
            work = ask(self.leases, self.pid(slot), wanted, 5 if high else 0)
            self.tasks[slot] = asyncio.create_task(_quiet(work))
            await asyncio.sleep(0)

    async def change(self, slot: int, gib: int) -> None:
        lease = self.lease(slot)
        if lease is not None and (slot not in self.tasks or self.tasks[slot].done()):
            work = self.leases.change(lease.id, memory=gib * GIB)
            self.tasks[slot] = asyncio.create_task(_quiet(work))
            await asyncio.sleep(0)

    async def cancel(self, slot: int) -> None:
        if slot in self.tasks:
            self.tasks[slot].cancel()
            await asyncio.wait([self.tasks[slot]])

    async def use(self, slot: int, share: float) -> None:
        """Up to what the guard allows; it takes nothing away."""
        pid, lease = self.pid(slot), self.lease(slot)
        if lease is not None:
            allowed = self.world.guard.held.get(call_of(pid), 0)
            self.world.uses[pid] = max(self.world.uses.get(pid) or 0, int(allowed * share))

    async def release(self, slot: int) -> None:
        lease = self.lease(slot)
        if lease is not None:
            await self.leases.release(lease.id)

    async def free(self, slot: int) -> None:
        self.world.uses.pop(self.pid(slot), None)

    async def call_over(self, slot: int) -> None:
        pid = self.pid(slot)
        self.world.uses.pop(pid, None)
        self.world.gone.add(call_of(pid))
        await self.leases.call_ended(call_of(pid))
        self.number[slot] = self.number.get(slot, 0) + 1

    async def mode(self, mode: str) -> None:
        engine(self.world).mode = mode

    async def stale(self) -> None:
        engine(self.world).revision += 3

    async def deliver(self) -> None:
        engine(self.world).deliver()

    async def map(self, share: float) -> None:
        engine(self.world).alloc(int(WAS * share))

    async def unmap(self, share: float) -> None:
        engine(self.world).free(int(WAS * share))

    async def run(self, running: int) -> None:
        engine(self.world).running = running

    async def wait(self, seconds: float) -> None:
        self.world.clock += seconds

    async def driver(self) -> None:
        """It fails for a turn."""
        self.world.fails = "lost"
        await turns(self.leases, 1)
        self.world.fails = ""

    async def turn(self) -> None:
        await turns(self.leases, 2)

    async def lose(self) -> None:
        """What is on its way to the engine never arrives."""
        engine(self.world).waiting.clear()

    async def crash(self) -> None:
        """Whoever waited is gone with it, as are the guards' holds."""
        for task in self.tasks.values():
            task.cancel()
        desk = self.leases._lessor.desk
        assert desk is not None
        await desk.stop()
        self.world.guard.held.clear()
        self.leases = self.world.leases()
        await self.leases.recall()

    def check(self) -> None:
        """What engine and leases may take, with what is reserved, fits."""
        one = engine(self.world)
        held = self.leases._book.held.values()
        leased = {int(h.lease.call[2:]): h.lease.bytes for h in held}
        uses = self.world.uses
        promised = sum(max(leased.get(p, 0), uses.get(p) or 0) for p in {*leased, *uses})
        kv = max(one.limit_now, one.used)
        assert one.weights + kv + promised <= self.world.total - 2 * GIB
        open_calls = [h.lease.call for h in held]
        assert len(open_calls) == len(set(open_calls))

    async def settle(self) -> None:
        """All calls end, and the engine obeys: it has all that it had."""
        await self.mode("applied")
        late = list(engine(self.world).waiting)
        await self.lose()
        for slot in range(1, 5):
            await self.call_over(slot)
        for _ in range(8):
            self.world.clock += 6
            await turns(self.leases, 2)
            self.check()
        assert engine(self.world).limit_now == WAS
        engine(self.world).waiting += late
        engine(self.world).deliver()
        assert engine(self.world).limit_now == WAS
        assert not self.leases._lessor.busy
        assert self.world.journal.open_leases() == []
        for task in self.tasks.values():
            assert task.done()


async def _quiet(work: Coroutine[object, object, Lease]) -> Lease | None:
    try:
        found = await work
    except AgentcgError:
        return None
    assert found.state is not LeaseState.QUEUED
    return found


@given(st.lists(st.tuples(OPS, st.booleans()), min_size=12, max_size=40), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_interleaving(ops: list[tuple[tuple[object, ...], bool]], mute: bool) -> None:
    async def play() -> None:
        one = Play()
        if mute:  # as kvcached is
            engine(one.world).pids, engine(one.world).evicts = (), False
        for op, amid in ops:
            await one.do(op, amid=amid)
        await one.settle()
        one.world.journal.close()

    with patch.object(Bounded, "do", _inline):
        asyncio.run(play())


async def _inline(_: Bounded, work: Callable[[], object], within: float) -> object:
    """Without a thread, as nothing hangs here; others have their turn."""
    await asyncio.sleep(0)
    return work()
