"""A guard that hangs while it is told of a lease: nobody waits for it for longer than is said."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agentcg.api.controller import NO_PEER, Caller, Role
from agentcg.control import lending, tenures
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.errors import LimitError
from agentcg.model.gpu import GpuWish, GuardKind, LeaseState
from agentcg.model.intent import Intent
from agentcg.model.wire_gpu import LeasePatchBody
from agentcg.policy import lease_words
from tests.unit.control.conftest import ONE, settled
from tests.unit.control.gpu_world import GPU, World
from tests.unit.control.lessor import GIB

WISH = GpuWish(8 * GIB, wait=60.0)
ADMIN = Caller(Role.ADMIN, NO_PEER)


@pytest.fixture
async def hanging(
    core: Core, call: LiveCall, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[threading.Event]:
    """Leases of a guard that hangs until this is set."""
    returns, world = threading.Event(), World(engine=None)

    def hang() -> None:
        returns.wait()

    world.guard.pause = hang
    monkeypatch.setattr(tenures, "_HOLDING", 600.0)
    monkeypatch.setattr(lending, "SOON", 0.05)
    monkeypatch.setattr(lending, "WITHIN", 0.05)
    call.record = replace(call.record, intent=Intent(tool="pytest", gpu=WISH))
    core.journal, core.leases = world.journal, world.leases()
    await core.leases.start()
    yield returns
    returns.set()
    await core.leases.close()


async def test_a_guard_that_hangs_holds_up_no_declaration(
    core: Core, call: LiveCall, hanging: threading.Event
) -> None:
    async with asyncio.timeout(30):
        await lending.grant(core, call)
        assert call.record.grant.env == {"CUDA_VISIBLE_DEVICES": ""}
        assert list(call.record.grant.notes) == [lease_words.HOLDING]
        (waiting,) = (await lending.view(core, ADMIN)).leases
        assert (waiting.state, waiting.guard) == (LeaseState.QUEUED, GuardKind.NONE)
        hanging.set()
        await settled(core)
    assert call.record.grant.env == {"CUDA_VISIBLE_DEVICES": GPU}
    assert not call.record.grant.notes


async def test_a_guard_that_hangs_holds_up_no_command(
    core: Core, call: LiveCall, hanging: threading.Event
) -> None:
    call.record = replace(call.record, by_peer=True, declared_at=core.now())
    async with asyncio.timeout(30):
        await lending.grant(core, call)
        assert "a command that starts waits no longer" in lending.refused(call)
        assert core.leases is not None
        hanging.set()
        while core.leases.of_call(ONE)[0].state is not LeaseState.RELEASED:
            await asyncio.sleep(0.01)


async def test_a_change_that_a_guard_holds_up_is_undone(
    core: Core, call: LiveCall, hanging: threading.Event
) -> None:
    hanging.set()
    made = await lending.ask_for(core, ADMIN, call.record.id, WISH)
    hanging.clear()
    assert core.leases is not None
    with pytest.raises(LimitError, match="no answer of what holds it"):
        await lending.change(core, ADMIN, made.id, LeasePatchBody(memory=GIB))
    (held,) = core.leases._book.held.values()
    assert (held.back, held.changing) == (WISH.memory, False)
