"""memory.high by events: on a fake tree, whose figures the tests write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcg.control import running, stepping
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.state import LiveCall, LiveSession, State
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.watch import Watch
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event, Kind
from agentcg.model.grant import THROTTLE, Grant
from agentcg.model.host import Host, Mechanism
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause
from agentcg.model.session import Runtime, Session
from agentcg.sandbox.tree import Tree
from agentcg.settings import Governor, Settings
from agentcg.telemetry.bus import Bus

MIB = 1 << 20
POOL = "agentcg.slice"
FILES = {
    "memory.max": "max",
    "memory.high": "max",
    "memory.current": "0",
    "memory.events.local": "high 0",
    "memory.stat": "anon 0",
}
WORKS = {n: Mechanism(n, works=True, detail="") for n in ("memory", "memory.high")}


class Fake:
    """The fake tree, and the core that looks at it."""

    def __init__(self, top: Path, core: Core) -> None:
        self.top = top
        self.core = core

    def session(self, name: str, *, priority: int, guarantee: int = 0) -> LiveSession:
        """A session with one running call, which has no limit of its own."""
        path = f"{POOL}/{name}"
        for part in ("agentcg.agent", "agentcg.calls", f"agentcg.calls/c-{name}"):
            (self.top / path / part).mkdir(parents=True)
        for folder in list((self.top / path).rglob("*")):
            for knob, value in FILES.items():
                (folder / knob).write_text(value)
        self.pressure(name, 0)
        cgroup = self.core.root.open_path(path)
        tree = Tree(cgroup, cgroup.child("agentcg.agent"), cgroup.child("agentcg.calls"))
        record = Session(SessionId(name), Runtime.BARE, path, cgroup.id, priority=priority)
        live = LiveSession(record, tree, cpus=frozenset())
        self.core.state.add_session(live)
        grant = Grant(memory_guarantee=guarantee, priority=priority)
        call = Call(CallId(f"c-{name}"), record.id, Intent(tool="t"), grant, CallState.RUNNING)
        made = LiveCall(call, live, leaf=tree.calls.child(f"c-{name}"))
        self.core.state.add_call(made)
        return live

    def use(self, **mib: int) -> None:
        """What sessions' calls use, MiB; the pool's use is the sum."""
        for name, amount in mib.items():
            for part in ("agentcg.calls", f"agentcg.calls/c-{name}"):
                (self.top / POOL / name / part / "memory.current").write_text(str(amount * MIB))
        pool = self.top / POOL
        used = [int(p.read_text()) for p in pool.glob("*/agentcg.calls/memory.current")]
        (pool / "memory.current").write_text(str(sum(used)))

    def pressure(self, name: str, percent: float, total: int = 0) -> None:
        """How its calls wait for memory: percent of 10 s, and microseconds in all."""
        lines = [
            f"{kind} avg10={percent:.2f} avg60=0.00 avg300=0.00 total={total}"
            for kind in ("some", "full")
        ]
        for part in ("agentcg.calls", f"agentcg.calls/c-{name}"):
            file = self.top / POOL / name / part / "memory.pressure"
            file.write_text("\n".join(lines))

    def high(self, name: str) -> str:
        """memory.high of its calls. A plain file is empty for a moment while it is written."""
        path = self.top / POOL / name / "agentcg.calls/memory.high"
        while not (said := path.read_text().strip()):
            pass
        return said

    def passed(self, name: str) -> None:
        """Have its tripwire tell."""
        (self.top / POOL / name / "agentcg.calls/memory.events.local").write_text("high 1")


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[Fake]:
    top = tmp_path / "cgroup"
    (top / POOL).mkdir(parents=True)
    for knob, value in FILES.items():
        (top / POOL / knob).write_text(value)
    (top / POOL / "memory.max").write_text(str(480 * MIB))
    core = Core(
        settings=Settings(governor=Governor(enabled=True)),
        host=Host("test", frozenset({0}), 1 << 34, dict(WORKS), str(top)),
        root=CgroupDir.open(top),
        journal=Journal(tmp_path / "journal", keep=10),
        bus=Bus(),
        state=State(),
        watch=Watch(),
    )
    yield Fake(top, core)
    await core.stop()
    for session in core.state.sessions.values():
        session.tree.close()
    core.watch.close()
    core.journal.close()
    core.root.close()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.01)


async def test_a_tripwire_passed_is_a_step_and_room_takes_it_back(tree: Fake) -> None:
    low = tree.session("low", priority=-50)
    tree.session("high", priority=50, guarantee=180 * MIB)
    tree.use(low=100, high=10)
    await stepping.start(tree.core)
    await until(lambda: tree.high("low") != "max")
    assert int(tree.high("low")) > 100 * MIB
    assert not low.held
    tree.use(low=250)
    tree.pressure("low", 50, total=1_000_000)
    tree.passed("low")
    await until(lambda: low.held)
    await until(lambda: int(tree.high("low")) == int(250 * MIB / 1.18))
    call = low.calls[CallId("c-low")]
    await until(lambda: call.waited is not None)
    # Nobody tells that the other has ended; a look is due each second while someone is held.
    tree.pressure("low", 50, total=3_500_000)
    high = tree.core.state.sessions[SessionId("high")]
    high.calls.clear()
    tree.use(high=0)
    await until(lambda: not low.held)
    await until(lambda: int(tree.high("low")) > 250 * MIB)
    await until(lambda: tree.high("high") == "max")
    assert call.held == 2.5
    assert call.waited is None


async def test_a_successor_takes_a_step_up_and_a_stop_takes_it_back(tree: Fake) -> None:
    low = tree.session("low", priority=-50)
    tree.use(low=400)
    (tree.top / POOL / "low/agentcg.calls/memory.high").write_text(str(340 * MIB))
    await stepping.start(tree.core)
    assert low.high == 340 * MIB
    await until(lambda: low.held)
    assert tree.high("low") == str(340 * MIB)  # it does as well
    await stepping.undo(tree.core)
    assert tree.high("low") == "max"
    tree.core.stir()
    await asyncio.sleep(0.2)
    assert tree.high("low") == "max"


async def test_what_is_not_wanted_any_more_is_taken_back(tree: Fake) -> None:
    tree.core.settings = Settings()
    live = tree.session("low", priority=-50)
    tree.use(low=400)
    (tree.top / POOL / "low/agentcg.calls/memory.high").write_text(str(200 * MIB))
    await stepping.start(tree.core)
    assert tree.high("low") == "max"
    assert stepping.knob(tree.core, live) == {}


async def test_grants_say_why_not(tree: Fake) -> None:
    live = tree.session("low", priority=-50)
    assert stepping.knob(tree.core, live) == {THROTTLE: f"ok: {stepping.HOW}"}
    live.record = replace(live.record, cgroup="other.slice/x")
    assert "not below agentcg.slice" in stepping.knob(tree.core, live)[THROTTLE]
    tree.core.host = replace(tree.core.host, mechanisms={})
    await stepping.start(tree.core)
    assert stepping.knob(tree.core, live)[THROTTLE].startswith("unsupported: memory")
    assert not tree.core.host.has(THROTTLE)


async def test_where_all_stand_still_the_least_important_call_goes(
    tree: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[str, Cause]] = []

    async def kill(_: Core, live: LiveCall, cause: Cause) -> None:
        killed.append((live.record.id, cause))

    told: list[str | None] = []
    tell = tree.core.bus.publish

    def publish(at: float, kind: Kind, **words: Any) -> Event:
        if kind is Kind.POOL_FULL:
            told.append(words["call"])
        return tell(at, kind, **words)

    monkeypatch.setattr(running, "kill", kill)
    monkeypatch.setattr(tree.core.bus, "publish", publish)
    clock = [1000.0]
    tree.core.now = lambda: clock[0]
    tree.session("low", priority=-50)
    tree.session("high", priority=50)
    tree.use(low=200, high=200)
    tree.pressure("low", 90)
    await stepping.start(tree.core)
    low, high = tree.core.state.sessions.values()
    await until(lambda: low.held and high.held)

    async def later(seconds: float) -> None:
        clock[0] += seconds
        tree.core.stir()
        await asyncio.sleep(0.2)

    # As long as the other goes on there is someone to wait for.
    await later(100)
    assert not killed
    tree.pressure("high", 90)
    await later(1)
    await later(6)
    assert told == ["c-low"]
    assert not killed
    await later(25)
    assert killed == [("c-low", Cause.PRESSURE)]
