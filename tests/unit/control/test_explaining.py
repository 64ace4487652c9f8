"""Evidence about a call, gathered on a fake tree: from the store, the journal and what is open."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentcg.control import explaining, pastcalls
from agentcg.control.core import Recorder
from agentcg.errors import UnavailableError
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.explanation import Whose
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.sample import Sample, Usage
from agentcg.policy.holders import ADMIN, Viewer
from agentcg.settings import Settings
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


async def test_one_that_closed_before_it_was_declared_by_the_clock_lived(fake: Fleet) -> None:
    fake.core.journal.put_call(closed("c-back", "s-1", 50.0, 40.0))
    path = fake.core.settings.paths.state / "journal.sqlite"
    assert [c.id for c in pastcalls.alive(path, 45.0, 45.0, 9)] == ["c-back"]
    assert pastcalls.alive(path, 51.0, 60.0, 9) == []
    assert pastcalls.alive(path, 30.0, 39.0, 9) == []


async def test_who_lived_at_one_moment_does_not_hide_who_lived_at_another(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "_CALLS", 4)
    core, store = fake.core, fake.traces.store
    now = core.now()
    core.journal.put_call(closed("c-hog", "s-9", now - 100, now - 80))
    for n in range(6):  # declared later, so they are read first
        core.journal.put_call(closed(f"c-{n}", "s-9", now - 60, now - 50))
    mine = closed("c-me", "s-1", now - 95, now - 10)
    for session, name in (("s-9", "c-hog"), ("s-1", "c-me")):
        store.put(session, name, Sample(now - 91, 50.0, True, Usage(MIB, MIB, 1.0)))
    store.note(Event(1, now - 90, Kind.CALL_OOM, SessionId("s-1"), CallId("c-me")))
    found = await explaining.explain(core, mine, ADMIN)
    assert "c-hog" in [holding.call for holding in found.pressed[0].held]
    assert not [gap for gap in found.gaps if "no names" in gap]
    store.note(Event(2, now - 55, Kind.CALL_OOM, SessionId("s-1"), CallId("c-me")))
    seen = await explaining.explain(core, mine, Viewer("s-1"))
    assert "more than 4 calls lived at a time: the oldest of them have no names" in seen.gaps


async def test_a_journal_that_cannot_be_read_is_told_to_all(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alive(*_: object) -> None:
        raise UnavailableError("/secret/path: reading failed")

    monkeypatch.setattr(pastcalls, "alive", alive)
    mine = closed("c-me", "s-1", 1000.0, 1020.0)
    said = [gap for v in (ADMIN, Viewer("s-1")) for gap in await _gaps(fake, mine, v)]
    assert [gap.partition("session's: ")[2] for gap in said if "have no names" in gap] == [
        "/secret/path: reading failed",
        "the journal cannot be read",
    ]


async def _gaps(fake: Fleet, call: Call, viewer: Viewer) -> tuple[str, ...]:
    return (await explaining.explain(fake.core, call, viewer)).gaps


async def test_a_clock_that_was_put_back_hides_nothing(fake: Fleet) -> None:
    store = fake.traces.store
    # An hour back after its start: it was declared at 9000, and closed at 5420.
    mine = closed("c-me", "s-1", 9000.0, 5420.0)
    for at, clock in ((9010.0, 60.0), (5415.0, 65.0)):
        store.put("s-1", "c-me", Sample(at, clock, True, Usage(MIB, int(clock) * MIB, 1.0)))
    store.note(Event(1, 5416.0, Kind.CALL_OOM, SessionId("s-1"), CallId("c-me")))
    store.note(Event(2, 9011.0, Kind.PRESSURE))
    found = await explaining.explain(fake.core, mine, ADMIN)
    assert Kind.CALL_OOM in [step.kind for step in found.timeline]
    assert found.used.peak == 65 * MIB
    assert "tasks beside it waited for memory" in [one.why for one in found.pressed]


@pytest.mark.parametrize(
    ("settings", "session", "words"),
    [
        ({}, "s-gone", "its session is closed"),
        ({"learned": {"scope": "none"}}, "s-1", "learned.scope is none"),
        ({"store_commands": "hash"}, "s-1", "store_commands is hash"),
        ({}, "s-1", "too little is known of its class"),
    ],
)
async def test_why_nothing_is_learned_is_told(
    fake: Fleet, settings: dict[str, object], session: str, words: str
) -> None:
    fake.core.settings = Settings.model_validate(settings)
    found = await explaining.explain(fake.core, closed("c-1", session, 5.0, 9.0), ADMIN)
    assert words in found.advice[0]
