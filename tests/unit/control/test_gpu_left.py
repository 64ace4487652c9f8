"""What a killed daemon did for leases is undone by one that does not lease."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcg.control import gpu, gpu_host, gpu_left
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.lease_book import Held
from agentcg.control.state import LiveCall
from agentcg.control.tenures import Tenures
from agentcg.errors import UnavailableError
from agentcg.gpu import driver, gates, shim
from agentcg.kernel import bpffs, nvml
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import Event
from agentcg.model.gpu import (
    EngineLimit,
    GpuWish,
    GuardKind,
    Lease,
    LeaseState,
    ShrinkResult,
    ShrinkStatus,
)
from agentcg.model.host import Mechanism
from agentcg.model.ids import LeaseId, SessionId
from agentcg.model.outcome import Cause
from tests.unit.control.conftest import ONE
from tests.unit.control.lessor import GIB

LEASE = Lease(
    *(LeaseId("g-0"), SessionId("s"), ONE, GpuWish(GIB), LeaseState.ACTIVE, 5.0),
    gpu="GPU-1",
    bytes=GIB,
    guard=GuardKind.DRIVER,
)


@pytest.fixture(autouse=True)
def journal(core: Core, tmp_path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(tmp_path / "journal", keep=10)) as made:
        core.journal = made
        yield made


@pytest.fixture
def removed(core: Core, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sets of pins that were."""
    found: list[str] = []

    class Pins:
        def remove(self, name: str) -> None:
            found.append(name)

    monkeypatch.setattr(bpffs, "Pins", Pins)
    bpf = Mechanism("bpf", works=True, detail="")
    core.host = replace(core.host, mechanisms={"bpf": bpf})
    return found


async def test_a_gate_that_nobody_manages_is_taken_away(core: Core, removed: list[str]) -> None:
    await gpu.start(core)  # off, as by default
    assert removed == ["device_gate"]
    core.gpus = gpu_host.without(core.settings.gpu, "the driver hangs")
    await gpu_left.clear(core)
    assert removed == ["device_gate"] * 2


async def test_the_drivers_limits_are_cleared_and_the_leases_forgotten(
    core: Core, call: LiveCall, monkeypatch: pytest.MonkeyPatch, told: list[Event]
) -> None:
    swept: list[CgroupDir] = []

    class Limits:
        def __init__(self, *_: object) -> None:
            pass

        def sweep(self, leaves: list[CgroupDir]) -> None:
            swept.extend(leaves)

    monkeypatch.setattr(nvml.Nvml, "open", lambda: None)
    monkeypatch.setattr(driver, "DriverLimits", Limits)
    core.journal.put_lease(LEASE)
    await gpu_left.clear(core)
    assert swept == [call.leaf]
    assert core.journal.open_leases() == []
    assert told[-1].text == "1 leases of GPU memory end: gpu.enabled is off"


async def test_what_the_shims_programs_were_told_is_taken_away(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = core.settings.paths.model_copy(update={"run": tmp_path})
    core.settings = core.settings.model_copy(update={"paths": paths})
    monkeypatch.setattr(shim, "_ACCOUNTS", tmp_path / "accounts")
    folder = gpu_host.told(tmp_path)
    folder.mkdir(parents=True)
    (folder / ONE).write_text("1 0\n")
    await gpu.start(core)  # off
    assert not folder.exists()
    assert folder.parent.is_dir()


class Engine:
    """Takes what it is told, or raises it."""

    def __init__(self, fails: UnavailableError | None = None) -> None:
        self.fails = fails

    def limit(self, kv_bytes: int, *, revision: int, timeout: float) -> ShrinkResult:
        del timeout
        if self.fails is not None:
            raise self.fails
        return ShrinkResult(ShrinkStatus.APPLIED, revision, kv_bytes, 0, "")


@pytest.mark.parametrize("fails", [None, UnavailableError("no such file")])
async def test_the_engine_has_back_what_it_had(
    core: Core,
    monkeypatch: pytest.MonkeyPatch,
    told: list[Event],
    fails: UnavailableError | None,
) -> None:
    made: Any = Engine(fails)
    monkeypatch.setattr(gpu_host, "engine_of", lambda _: made)
    core.journal.put_limit(EngineLimit(3, 8 * GIB, GIB))
    await gpu_left.clear(core)
    assert core.journal.limit() == EngineLimit(4, 8 * GIB, GIB if fails else 8 * GIB)
    assert [one.text.rpartition(": ")[2] for one in told] == (["no such file"] if fails else [])


async def test_of_an_engine_that_is_not_configured_any_more_is_told(
    core: Core, told: list[Event]
) -> None:
    core.journal.put_limit(EngineLimit(3, 8 * GIB, GIB))
    await gpu_left.clear(core)
    assert "keeps to 1 GiB of KV cache, and had 8 GiB" in told[-1].text


@pytest.mark.parametrize("gone", [False, True])
async def test_without_a_cgroup_only_what_has_gone_counts_as_held(
    core: Core, *, gone: bool
) -> None:
    nothing: Any = None
    tenures = Tenures(nothing, nothing)
    why = await tenures.hold(Held(LEASE, None, gone=gone), GIB)
    assert why == ("" if gone else "its call has no cgroup yet")


async def test_who_waited_for_a_killed_daemon_is_told_why_it_is_killed(
    core: Core, call: LiveCall, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[CgroupDir | None, Cause | None]] = []
    monkeypatch.setattr(gates, "waiting", lambda _: (7,))
    monkeypatch.setattr(gates, "recover", lambda leaf: done.append((leaf, call.killed_for)))
    call.record = replace(call.record, pid=7)
    core.journal.put_lease(LEASE)
    await gpu_left.clear(core)
    assert done == [(call.leaf, Cause.GPU)]
    assert told[0].text.endswith("(the daemon died while it waited)")
    assert call.gpu_kill in told[0].text
