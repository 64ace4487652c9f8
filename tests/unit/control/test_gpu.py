"""What happens to leases becomes events; what this host has of GPUs."""

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agentcg.control import gpu, gpu_host
from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.errors import BpfError, UnsupportedError
from agentcg.gpu.imaginary import Imaginary
from agentcg.gpu.ladder import Ladder
from agentcg.gpu.overuse import Act, Share
from agentcg.gpu.watchdog import Finding
from agentcg.kernel import procfs
from agentcg.model.event import ABOUT, Event, Kind
from agentcg.model.gpu import GpuNews, GuardKind
from agentcg.model.outcome import Cause
from agentcg.settings_parts import Gpu, GpuEngine
from tests.unit.control.conftest import ONE
from tests.unit.control.lessor import GIB, LEASE


@pytest.mark.parametrize("news", list(GpuNews))
def test_all_news_is_told_with_what_its_kind_documents(
    core: Core, told: list[Event], news: GpuNews
) -> None:
    more: Mapping[str, float] = {"limit": 1, "was": 2} if news is GpuNews.ENGINE else {}
    more = {"grace": 5.0} if news is GpuNews.REVOKED else more
    gpu._tell(core, news, None if news is GpuNews.ENGINE else LEASE, "why", more)
    (event,) = told
    assert event.text == "why"
    assert set(ABOUT[event.kind].data) == set(event.data)
    assert event.call == (None if news is GpuNews.ENGINE else ONE)


def seen(call: LiveCall, act: Act, why: str = "") -> Finding:
    assert call.leaf is not None
    return Finding(Share(call.leaf.id, "GPU-1", (LEASE.id,), 4 * GIB, 6 * GIB), act, why)


@pytest.mark.usefixtures("lessor")
async def test_what_the_watchdog_does_is_told_and_explains_a_death(
    core: Core, call: LiveCall, told: list[Event]
) -> None:
    assert call.leaf is not None
    core.state.add_leaf(call, call.leaf)
    gpu._seen(core, seen(call, Act.NONE))
    assert told == []
    gpu._seen(core, seen(call, Act.STOP))
    stopped = call.gpu_held
    assert told[-1].text.startswith("it uses 6 GiB of GPU memory and has 4 GiB on lease: stopped")
    gpu._seen(core, seen(call, Act.RESUME))
    assert (stopped, call.gpu_held) == (True, False)
    gpu._seen(core, seen(call, Act.NONE, "no such cgroup"))
    assert told[-1].text.endswith("not stopped: no such cgroup")
    gpu._seen(core, seen(call, Act.KILL))
    assert call.killed_for is Cause.GPU
    assert "4 GiB that it was granted while it used 6 GiB" in call.gpu_kill
    assert [one.kind for one in told] == [Kind.GPU_PRESSURE] * 4


def test_a_process_is_of_the_call_whose_own_cgroup_it_is_in(
    core: Core, call: LiveCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {
        1: "/pool/s/agentcg.calls/c-1",
        2: "/pool/s/agentcg.calls/c-1/below",
        3: "/pool/s/agentcg.agent/agentcg.calls/c-1",
        4: "/elsewhere",
    }
    monkeypatch.setattr(procfs, "cgroup_path", places.__getitem__)
    assert [gpu._whose(core, pid) for pid in places] == [call.record.id, call.record.id, None, None]


def test_a_lease_that_no_guard_is_strong_enough_for_is_not_held() -> None:
    ladder = Ladder({GuardKind.DRIVER: "driver 580 has no limits"}, tuple(GuardKind))
    assert gpu_host.strong_enough(ladder, GuardKind.NONE)(LEASE) == []
    (refusal,) = gpu_host.strong_enough(ladder, GuardKind.DRIVER)(LEASE)
    nothing: Any = None
    with pytest.raises(UnsupportedError, match="require is driver, which does not work here: dri"):
        refusal.hold(LEASE, nothing)
    assert refusal.probe() == "driver 580 has no limits"


def test_a_host_without_a_driver_says_why_and_an_imaginary_gpu_what_it_is() -> None:
    with pytest.raises(UnsupportedError, match="no driver"):
        gpu_host.Absent("no driver").read()
    (one,) = Imaginary(GIB, now=lambda: 5.0).read()
    assert (one.free, one.at, one.processes) == (GIB, 5.0, ())


def test_that_it_is_off_is_no_fault_for_doctor(core: Core) -> None:
    assert gpu.checks(core) == ()


class Guard:
    """A guard that works until it is to start."""

    closed = False

    def __init__(self, kind: GuardKind) -> None:
        self.kind = kind

    def probe(self) -> None:
        """It works."""

    def start(self, *_: object, **__: object) -> None:
        raise BpfError("attaching", 1)

    def close(self) -> None:
        self.closed = True


def test_a_guard_that_cannot_start_is_left_out() -> None:
    uprobe, gate = Guard(GuardKind.UPROBE), Guard(GuardKind.DEVICE)
    found: Any = {GuardKind.UPROBE: uprobe, GuardKind.DEVICE: gate}
    ladder = Ladder(found, tuple(GuardKind))
    parts: dict[str, Any] = {"uprobe": uprobe, "gate": gate}
    host = gpu_host.Found(gpu_host.Absent("none"), ladder, None, **parts)
    assert host.watched is parts["uprobe"]
    assert set(host.start([])) == {GuardKind.UPROBE, GuardKind.DEVICE}
    assert uprobe.closed
    assert gate.closed
    assert not host.ladder.working(GuardKind.UPROBE)
    assert ladder.strongest is GuardKind.NONE
    assert "attaching" in ladder.reasons[GuardKind.DEVICE]


async def test_a_driver_that_fails_or_hangs_keeps_no_daemon_from_starting(
    core: Core, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    returns = threading.Event()
    monkeypatch.setattr(gpu, "_LOOKING", 0.01)
    monkeypatch.setattr(gpu, "_find", lambda *_: returns.wait(20))
    found = await gpu._found(core)
    returns.set()
    assert "did not answer" in told[-1].text
    with pytest.raises(UnsupportedError, match="did not answer"):
        found.device.read()
    assert "did not answer" in found.ladder.reasons[GuardKind.NVML]


async def test_a_driver_that_hangs_keeps_no_daemon_from_stopping(
    core: Core, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    returns = threading.Event()
    monkeypatch.setattr(gpu, "_LEAVING", 0.01)
    host: Any = gpu_host.without(core.settings.gpu, "hangs")
    monkeypatch.setattr(gpu_host.Found, "close", lambda _: returns.wait(20))
    core.gpus = host
    await gpu.leave(core)
    returns.set()
    assert "did not answer" in caplog.text


def test_what_outlives_the_daemon_is_taken_away_first() -> None:
    order: list[GuardKind] = []
    guards: dict[GuardKind, Any] = {kind: Guard(kind) for kind in GuardKind if kind != "none"}
    for kind, one in guards.items():
        one.close = partial(order.append, kind)
    Ladder(guards, tuple(GuardKind)).close()
    assert order == [
        GuardKind.DEVICE,
        GuardKind.UPROBE,
        GuardKind.NVML,
        GuardKind.SHIM,
        GuardKind.DRIVER,
    ]


def test_beside_an_engine_that_cannot_be_asked_nothing_is_leased(
    core: Core, tmp_path: Path
) -> None:
    engine = GpuEngine(kind="kvcached", name="x", poke="http://elsewhere:1")
    settings = Gpu(enabled=True, engine=engine, imaginary=GIB)
    found = gpu_host.find(settings, core.root, core.root, core.now, print, folder=tmp_path)
    with pytest.raises(UnsupportedError, match=r"gpu\.engine: "):
        found.device.read()
