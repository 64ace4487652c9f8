"""Who stands at libcuda's gate: a larger lease, or the end, and words."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentcg.control import evidence, gpu, gpu_gates, gpu_host
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.lease_book import BusyError
from agentcg.control.state import LiveCall
from agentcg.errors import LimitError
from agentcg.gpu.gates import Gate
from agentcg.kernel.bpf_records import GpuAccount
from agentcg.model.event import Event
from agentcg.model.ids import LeaseId
from agentcg.model.outcome import Cause
from tests.unit.control.lessor import GIB, LEASE, Lessor

GATE = Gate(
    *((LEASE.id,), 1 << 30, "python", 2 * GIB, 3 * GIB, 4 * GIB, time.monotonic() + 600, 1, 7),
    killed=False,
)


class Probes:
    """A guard by uprobes that remembers whom it denied."""

    def __init__(self) -> None:
        self.denied: list[Gate] = []
        self.used = GATE.used
        self.waits = True

    def account(self, leaf: object) -> GpuAccount:
        del leaf
        return GpuAccount(used=self.used)

    def deny(self, gate: Gate, told: Callable[[], object] = lambda: None) -> bool:
        if self.waits:
            told()
            self.denied.append(gate)
        return self.waits


async def answer(core: Core, guard: Any, gate: Gate) -> None:
    await gpu_gates._answer(core, guard, gate, asyncio.Lock())
    await asyncio.sleep(0)  # what was told from a thread


async def test_who_stands_at_the_gate_gets_what_it_asked_for_first(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    guard: Any = Probes()
    await answer(core, guard, GATE)
    assert lessor.leases[LEASE.id].bytes == 5 * GIB
    assert guard.denied == []
    assert call.killed_for is None


@pytest.mark.parametrize("case", ["beyond", "no room", "without leave", "late", "lost"])
async def test_beyond_that_or_without_room_it_is_killed_and_told(
    core: Core, call: LiveCall, lessor: Lessor, told: list[Event], case: str
) -> None:
    guard: Any = Probes()
    call.record = replace(call.record, pid=GATE.pid)
    call.gpu_held = True  # by the watchdog, whose business it stays
    lessor.refuses = LimitError("no room") if case == "no room" else None
    asked = 9 * GIB if case == "beyond" else GATE.asked
    killed = case in {"without leave", "late", "lost"}
    gate = replace(GATE, asked=asked, killed=killed, late=case == "late", lost=case == "lost")
    await answer(core, guard, gate)
    assert guard.denied == ([] if gate.killed else [gate])
    assert call.killed_for is Cause.GPU
    assert (call.gpu_held, call.gpu_gates) == (True, 0)
    words = {
        "beyond": "12 GiB is more than it asked for",
        "no room": "(no room)",
        "without leave": "(it went on without leave)",
        "late": "(nobody answered in time)",
        "lost": "(it could not be counted, or not before it was taken)",
    }
    assert words[case] in told[-1].text


async def test_a_call_whose_child_is_killed_goes_on_and_fails_for_that_or_does_not_fail(
    core: Core, call: LiveCall, lessor: Lessor, told: list[Event]
) -> None:
    guard: Any = Probes()
    call.record = replace(call.record, pid=GATE.pid + 1)
    lessor.refuses = LimitError("no room")
    await answer(core, guard, GATE)
    assert guard.denied == [GATE]
    assert call.killed_for is None
    assert "(no room)" in told[-1].text
    call.status = 0
    assert evidence.outcome(call, evidence.Reading()).cause is Cause.EXITED
    call.status = 137 << 8
    ended = evidence.outcome(call, evidence.Reading())
    assert (ended.cause, ended.exit_code) == (Cause.GPU, 137)
    assert "4 GiB that it was granted while it used 5 GiB" in ended.advice


@pytest.mark.parametrize(("used", "then"), [(5 * GIB, 7 * GIB), (GIB, 4 * GIB)])
async def test_a_raise_goes_by_what_is_used_now_and_lowers_nothing(
    core: Core, call: LiveCall, lessor: Lessor, used: int, then: int
) -> None:
    guard: Any = Probes()
    guard.used = used
    await answer(core, guard, GATE)
    assert lessor.leases[LEASE.id].bytes == then
    assert guard.denied == []
    assert call.gpu_gates == 0


async def test_of_several_leases_the_first_that_may_have_what_is_short_has_it(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    guard: Any = Probes()
    full = replace(LEASE, id=LeaseId("g-full"), bytes=LEASE.wish.memory)
    lessor.leases[full.id] = full
    guard.used = full.bytes + LEASE.bytes
    await answer(core, guard, replace(GATE, leases=(full.id, LEASE.id)))
    assert lessor.leases[full.id] == full
    assert lessor.leases[LEASE.id].bytes == 6 * GIB
    assert (guard.denied, call.killed_for) == ([], None)


async def test_a_stop_denies_who_waits_and_goes_on_once_that_has_its_outcome(
    core: Core, call: LiveCall
) -> None:
    order: list[str] = []

    def end() -> None:
        order.append("closed")
        call.closed.set()

    async def close() -> None:
        order.append("denied")
        asyncio.get_running_loop().call_later(0.05, end)

    leases: Any = SimpleNamespace(close=close)
    core.leases = leases
    call.gpu_gates = 1
    await gpu.stop(core)
    assert order == ["denied", "closed"]
    core.leases = leases
    call.closed.clear()
    call.gpu_gates = 0
    await gpu.stop(core)
    assert order == ["denied", "closed", "denied"]


@pytest.mark.usefixtures("call")
async def test_who_was_in_line_until_its_time_was_over_has_what_there_is_by_then(
    core: Core, lessor: Lessor
) -> None:
    guard: Any = Probes()
    await answer(core, guard, replace(GATE, at=time.monotonic() - gpu_host.GATE - 1))
    assert lessor.leases[LEASE.id].bytes == 5 * GIB
    assert guard.denied == []


async def test_who_waits_for_a_raise_is_denied_in_the_end(
    core: Core,
    call: LiveCall,
    lessor: Lessor,
    told: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu_gates, "_LAST", 0.01)
    guard: Any = Probes()
    lessor.room.clear()
    gate = replace(GATE, at=time.monotonic() - gpu_host.GATE)
    await answer(core, guard, gate)
    assert guard.denied == [gate]
    assert "no room within" in told[-1].text
    assert call.gpu_gates == 0


@pytest.mark.parametrize("late", [False, True])
async def test_who_is_in_line_when_the_daemon_stops_or_comes_then_is_told_why(
    core: Core,
    call: LiveCall,
    lessor: Lessor,
    told: list[Event],
    tmp_path: Path,
    late: bool,
) -> None:
    guard: Any = Probes()
    call.record = replace(call.record, pid=GATE.pid)
    core.leases = None if late else core.leases
    with contextlib.closing(Journal(tmp_path / "journal", keep=10)) as core.journal:
        core.journal.put_lease(LEASE)
        line = asyncio.Lock()
        await line.acquire()
        answering = asyncio.create_task(gpu_gates._answer(core, guard, GATE, line))
        await asyncio.sleep(0)
        assert call.gpu_gates == 1
        core.leases = None
        line.release()
        async with asyncio.timeout(30):
            await answering
        await asyncio.sleep(0)
    assert (guard.denied, call.killed_for) == ([GATE], Cause.GPU)
    assert told[-1].text.endswith("(the daemon stops)")


async def test_the_next_is_answered_once_who_was_denied_has_ended(
    core: Core, call: LiveCall, lessor: Lessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_gates, "_DYING", 600.0)
    guard: Any = Probes()
    lessor.refuses = LimitError("no room")
    line = asyncio.Lock()
    with subprocess.Popen(["sleep", "1000"]) as process:
        gate = replace(GATE, pid=process.pid)
        answering = asyncio.create_task(gpu_gates._answer(core, guard, gate, line))
        async with asyncio.timeout(30):
            while not guard.denied:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert line.locked()
        process.kill()
        async with asyncio.timeout(30):
            await answering
    assert not line.locked()


async def test_who_went_on_meanwhile_is_not_told_to_be_killed(
    core: Core, call: LiveCall, lessor: Lessor, told: list[Event]
) -> None:
    guard: Any = Probes()
    guard.waits = False
    call.record = replace(call.record, pid=GATE.pid)
    lessor.refuses = LimitError("no room")
    await answer(core, guard, GATE)
    assert (call.killed_for, call.gpu_kill, told) == (None, "", [])


@pytest.mark.usefixtures("call")
async def test_a_lease_that_is_just_being_changed_is_asked_for_anew(
    core: Core, lessor: Lessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_gates, "_BUSY", 0)
    guard: Any = Probes()
    lessor.refuses = BusyError("just being changed")
    answering = asyncio.create_task(answer(core, guard, GATE))
    for _ in range(3):
        await asyncio.sleep(0.01)
    assert guard.denied == []
    lessor.leases[LEASE.id] = replace(LEASE, bytes=LEASE.wish.memory)
    lessor.refuses = None
    async with asyncio.timeout(30):
        await answering
    assert guard.denied == []
    assert lessor.leases[LEASE.id].bytes == LEASE.wish.memory  # by what it has now


@pytest.mark.usefixtures("call")
async def test_of_a_call_that_has_gone_nobody_waits(core: Core, lessor: Lessor) -> None:
    guard: Any = Probes()
    lessor.leases.clear()
    await answer(core, guard, GATE)
    assert guard.denied == [GATE]
