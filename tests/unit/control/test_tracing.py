"""Who is read when, and what of it is recorded: on a fake tree."""

import asyncio
import resource
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from agentcg.control import recover, sampling
from agentcg.control.state import LiveCall
from agentcg.errors import CgroupError
from agentcg.kernel.cgroup_file import CgroupFile
from agentcg.model.call import Call, CallState
from agentcg.model.event import Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.sample import Sample
from agentcg.telemetry import recall
from agentcg.telemetry.dayfile import Span
from agentcg.telemetry.gauge import Gauge
from tests.unit.control.recorded import Fleet, fleet

EVER = Span(0.0, 1e12)
MIB = 1 << 20


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path / "cgroup", tmp_path / "state") as made:
        yield made


async def taken(fake: Fleet, call: str) -> list[Sample]:
    found, _ = await asyncio.to_thread(recall.samples, fake.traces.store, "s-1", call, EVER)
    return found


async def seen(fake: Fleet, call: str) -> None:
    """Wait for its first sample."""
    async with asyncio.timeout(30):
        while not await taken(fake, call):
            await asyncio.sleep(0.02)


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.02)


def declared(fake: Fleet, name: str) -> LiveCall:
    live = fake.call(name)
    fake.core.tell(Kind.CALL_DECLARED, "", session="s-1", call=name)
    return live


async def test_what_there_is_at_the_start_and_what_comes_is_read(fake: Fleet) -> None:
    fake.call("c-old")
    fake.core.recorder.begin()
    declared(fake, "c-new")
    for call in ("c-old", "c-new", ""):
        await seen(fake, call)
    (first, *_) = await taken(fake, "c-new")
    assert first.full
    assert first.usage.memory == MIB
    assert first.usage.memory_full == 2345 / 1e6


async def test_one_that_was_never_declared_is_read_from_its_start(fake: Fleet) -> None:
    fake.core.recorder.begin()
    fake.call("c-stuck")
    fake.core.tell(Kind.CALL_STARTED, "", session="s-1", call="c-stuck")
    await seen(fake, "c-stuck")


async def test_one_that_moves_is_read_more_often_than_one_that_does_not(fake: Fleet) -> None:
    declared(fake, "c-hot")
    declared(fake, "c-idle")
    fake.core.recorder.begin()
    for n in range(30):
        fake.put("c-hot", "memory.current", f"{(n + 1) * 4 * MIB}\n")
        await asyncio.sleep(0.05)
    hot, idle = await taken(fake, "c-hot"), await taken(fake, "c-idle")
    assert len(hot) > 2 * len(idle)
    assert len(hot) <= 18
    assert sum(s.full for s in hot) <= 3


async def test_an_event_has_an_idle_call_read_at_once(fake: Fleet) -> None:
    live = declared(fake, "c-1")
    fake.core.recorder.begin()
    await asyncio.sleep(1.0)
    before = len(await taken(fake, "c-1"))
    fake.put("c-1", "memory.current", f"{50 * MIB}\n")
    fake.core.recorder.stir(live)
    fake.core.tell(Kind.PRESSURE, "", session="s-1")
    await asyncio.sleep(0.25)
    after = await taken(fake, "c-1")
    assert len(after) > before
    assert after[-1].usage.memory == 50 * MIB


async def test_the_last_reading_is_in_the_record_and_the_account_follows(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: CgroupFile, value: str) -> None:
        raise CgroupError(file.path, value, "Invalid argument", 22)

    monkeypatch.setattr(CgroupFile, "write", refuse)
    live = declared(fake, "c-1")
    fake.put("c-1", "memory.current", f"{7 * MIB}\n")
    fake.put("c-1", "memory.peak", f"{99 * MIB}\n")
    await asyncio.to_thread(fake.core.recorder.last, live)
    live.record = replace(
        live.record, state=CallState.CLOSED, outcome=Outcome(Cause.OOM, peak=99 * MIB)
    )
    fake.core.recorder.closed(live.record)
    fake.core.tell(Kind.CALL_CLOSED, "nothing left", session="s-1", call="c-1")
    (last,) = await taken(fake, "c-1")
    assert last.full
    assert last.usage.memory == 7 * MIB
    assert last.usage.peak == 99 * MIB
    (one,) = await asyncio.to_thread(recall.accounts, fake.traces.store, None, None, EVER)
    assert (one.call, one.cause, one.peak, one.kind) == ("c-1", Cause.OOM, 99 * MIB, "shell")
    events = await asyncio.to_thread(recall.events, fake.traces.store, "s-1", None, EVER)
    assert [e.kind for e in events] == [Kind.CALL_DECLARED, Kind.CALL_CLOSED]
    await asyncio.to_thread(fake.core.recorder.last, live)  # it is let go: nothing more comes
    assert len(await taken(fake, "c-1")) == 1


async def test_a_call_that_ended_while_no_daemon_ran_is_accounted_for(fake: Fleet) -> None:
    record = Call(
        CallId("c-1"), SessionId("s-1"), Intent(command="make"), Grant(), CallState.RUNNING
    )
    recover._lost(fake.core, record)
    (one,) = await asyncio.to_thread(recall.accounts, fake.traces.store, None, None, EVER)
    assert (one.call, one.kind) == ("c-1", "make")


async def test_a_reading_of_one_that_is_closed_meanwhile_is_left_out(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, go_on = threading.Event(), threading.Event()
    read = Gauge.read

    def slow(gauge: Gauge, *, full: bool) -> Sample:
        reads.set()
        go_on.wait(5)
        return read(gauge, full=full)

    monkeypatch.setattr(Gauge, "read", slow)
    declared(fake, "c-1")
    fake.core.recorder.begin()
    await asyncio.to_thread(reads.wait, 5)
    begun = time.monotonic()
    fake.core.tell(Kind.CALL_CLOSED, "", session="s-1", call="c-1")
    assert time.monotonic() - begun < 1  # nor does it wait for the reading
    go_on.set()
    await seen(fake, "")
    assert await taken(fake, "c-1") == []


async def test_each_sample_has_the_time_of_its_own_reading(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Gauge._memory

    def slow(gauge: Gauge) -> tuple[int | None, int | None]:
        time.sleep(0.02)
        return read(gauge)

    monkeypatch.setattr(Gauge, "_memory", slow)
    for n in range(5):
        declared(fake, f"c-{n}")
    fake.core.recorder.begin()
    await seen(fake, "c-4")
    clocks = [(await taken(fake, f"c-{n}"))[0].clock for n in range(5)]
    assert all(later - earlier >= 0.019 for earlier, later in pairwise(clocks))
    assert clocks == [round(clock, 3) for clock in clocks]


async def test_a_watermark_from_before_is_of_no_sample(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CgroupFile, "write", lambda *_: None)
    fake.call("c-old")
    declared(fake, "c-new")
    for call in ("c-old", "c-new"):
        fake.put(call, "memory.peak", f"{99 * MIB}\n")
    (fake.top / "pool/s-1/memory.peak").write_text(f"{99 * MIB}\n")
    fake.core.recorder.begin()
    for call, peak in (("c-old", MIB), ("c-new", 99 * MIB), ("", MIB)):
        await seen(fake, call)
        assert (await taken(fake, call))[0].usage.peak == peak


async def test_all_descriptors_that_may_be_had_are_had(fake: Fleet) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


async def test_a_cgroup_that_goes_away_stops_nothing(fake: Fleet) -> None:
    live = declared(fake, "c-1")
    declared(fake, "c-2")
    assert live.leaf is not None
    live.leaf.close()
    fake.core.recorder.begin()
    await asyncio.to_thread(fake.core.recorder.last, live)
    await seen(fake, "c-2")
    assert await taken(fake, "c-1") == []


async def test_a_file_that_makes_no_sense_hides_no_other_call(fake: Fleet) -> None:
    declared(fake, "c-1")
    declared(fake, "c-2")
    fake.put("c-1", "memory.current", "no number\n")
    fake.core.recorder.begin()
    await seen(fake, "c-2")
    assert await taken(fake, "c-1") == []


async def test_a_defect_ends_no_recording(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sampling, "_AFTER_DEFECT", 0.05)
    with monkeypatch.context() as broken:
        broken.setattr(Gauge, "read", lambda *_, **__: 1 / 0)
        declared(fake, "c-1")
        fake.core.recorder.begin()
        await until(lambda: "the daemon goes on" in caplog.text)
    await seen(fake, "c-1")


async def test_what_is_told_of_the_disk_is_an_event(fake: Fleet) -> None:
    fake.traces.store._writer.tell("traces cannot be written")
    await until(lambda: [e for e in fake.core.bus._history if "cannot be" in e.text])
