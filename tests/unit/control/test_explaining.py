"""Evidence about a call, gathered on a fake tree: from the store, the journal and what is open."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.control import explaining, pastcalls
from agentcg.control.core import Recorder
from agentcg.model.call import Call, CallState
from agentcg.model.event import Kind
from agentcg.model.explanation import Whose
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.sample import Sample, Usage
from agentcg.policy.holders import ADMIN, Viewer
from tests.unit.control.recorded import Fleet, fleet

MIB = 1 << 20


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path / "cgroup", tmp_path / "state") as made:
        yield made


def closed(name: str, session: str, begin: float, end: float) -> Call:
    outcome = Outcome(Cause.OOM, wall=end - begin, peak=9 * MIB)
    call = Call(CallId(name), SessionId(session), Intent(command=f"run {name}"), Grant())
    times = {"declared_at": begin, "started_at": begin, "ended_at": end, "closed_at": end}
    return replace(call, state=CallState.CLOSED, outcome=outcome, **times)  # type: ignore[arg-type]


async def test_a_hog_that_was_declared_long_before_is_named(fake: Fleet) -> None:
    core, store = fake.core, fake.traces.store
    now = core.now()
    hog = replace(closed("c-hog", "s-9", now - 9000, now - 1), closed_at=None)
    core.journal.put_call(replace(hog, state=CallState.RUNNING, outcome=None))
    for n in range(200):  # more than are listed anywhere
        core.journal.put_call(closed(f"c-{n}", "s-9", now - 500, now - 400))
    mine = closed("c-me", "s-1", now - 20, now - 2)
    core.journal.put_call(mine)
    for session, name, memory in (("s-9", "c-hog", 800), ("s-1", "c-me", 9), ("s-9", "", 900)):
        usage = Usage(memory * MIB, memory * MIB, 1.0)
        store.put(session, name, Sample(now - 3, 50.0, True, usage))
    found = await explaining.explain(core, mine, ADMIN)
    (pressed,) = found.pressed
    assert [(h.whose, h.call, h.memory // MIB) for h in pressed.held] == [
        (Whose.CALL, "c-hog", 800),
        (Whose.OUTSIDE, None, 100),
        (Whose.THIS, "c-me", 9),
    ]
    assert pressed.held[0].command == "run c-hog"
    assert found.used.cpu == 1.0
    seen = await explaining.explain(core, mine, Viewer("s-1"))
    assert "hog" not in repr(seen)
    assert "s-9" not in repr(seen)
    assert seen.pressed[0].held[0].memory == 900 * MIB


async def test_pressure_of_the_pool_is_a_moment(fake: Fleet) -> None:
    live = fake.call("c-1")
    live.record = replace(live.record, declared_at=fake.core.now())
    fake.core.tell(Kind.CALL_DECLARED, "", session="s-1", call="c-1")
    fake.core.tell(Kind.PRESSURE, "the pool's tasks wait for memory")
    async with asyncio.timeout(10):
        while not (found := await explaining.explain(fake.core, live.record, ADMIN)).pressed:
            await asyncio.sleep(0.02)
    assert found.pressed[0].why == "tasks beside it waited for memory"
    assert [step.kind for step in found.timeline][:1] == [Kind.CALL_DECLARED]


async def test_without_records_it_says_so(fake: Fleet) -> None:
    fake.core.recorder.close()
    fake.core.recorder = Recorder()
    found = await explaining.explain(fake.core, closed("c-1", "s-1", 5.0, 9.0), ADMIN)
    assert "traces.enabled" in found.gaps[0]
    assert [step.since for step in found.timeline] == [0.0, 0.0, 4.0, 4.0]


async def test_who_lived_is_asked_of_the_journal(fake: Fleet) -> None:
    for n in range(10):
        fake.core.journal.put_call(closed(f"c-{n}", "s-1", n, n + 2.0))
    path = fake.core.settings.paths.state / "journal.sqlite"
    assert [c.id for c in pastcalls.alive(path, 4.5, 5.5, 50)] == ["c-5", "c-4", "c-3"]
    assert len(pastcalls.alive(path, 0.0, 50.0, 4)) == 4
