"""The look at all sessions, once a second: on a fake tree, whose figures a test writes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.control import capping, tick
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.model.host import Mechanism
from agentcg.model.ids import SessionId
from tests.unit.control.recorded import Fleet, fleet

MIB = 1 << 20


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path / "cgroup", tmp_path / "state") as made:
        memory = Mechanism("memory", works=True, detail="")
        made.core.host = replace(made.core.host, mechanisms={"memory": memory})
        yield made


async def test_a_limit_that_another_sets_is_seen_after_a_while(fake: Fleet) -> None:
    core, live, limit = fake.core, fake.session, fake.top / "pool/s-1/memory.max"
    limit.write_text(f"{500 * MIB}\n")
    tick.read(core, live)
    limit.write_text(f"{400 * MIB}\n")
    tick.read(core, live)
    assert live.limit == 500 * MIB
    later = core.clock() + 5
    core.clock = lambda: later
    tick.read(core, live)
    assert live.limit == 400 * MIB


async def test_one_whose_reading_fails_keeps_no_other_from_its_turn(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def read(_core: Core, session: LiveSession) -> None:
        if session.record.id == "s-0":
            raise ValueError("no number")
        seen.append(session.record.id)

    monkeypatch.setattr(capping, "read", read)
    monkeypatch.setattr(tick, "EVERY", 0.01)
    one = fake.session
    other = replace(one, record=replace(one.record, id=SessionId("s-0")))
    fake.core.state.sessions = {SessionId("s-0"): other, **fake.core.state.sessions}
    turns = asyncio.create_task(tick.forever(fake.core))
    async with asyncio.timeout(30):
        while len(seen) < 3:
            await asyncio.sleep(0.01)
    assert not turns.done()
    turns.cancel()
