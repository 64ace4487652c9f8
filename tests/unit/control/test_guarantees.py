"""Guarantees on every level above the calls: raised at once, lowered later, taken back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agentcg.control import guarantees
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.state import LiveCall, LiveSession, State
from agentcg.kernel import sdbus
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.watch import Watch
from agentcg.model.call import Call
from agentcg.model.grant import Grant
from agentcg.model.host import Host, Mechanism
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.session import Runtime, Session
from agentcg.sandbox.tree import Tree
from agentcg.settings import Settings
from agentcg.telemetry.bus import Bus
from tests.unit.kernel import systemd
from tests.unit.kernel.systemd import Systemd

MIB = 1 << 20
KEEPER = "agentcg.slice/agentcg-keeper.service"
SCOPE = "agentcg.slice/docker-c.scope"
SESSIONS = (f"{KEEPER}/one", f"{KEEPER}/two", SCOPE, "agentcg.slice/plain", "other.slice/x.scope")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    root = tmp_path / "cgroup"
    for session in SESSIONS:
        (root / session / "agentcg.calls").mkdir(parents=True)
        (root / session / "agentcg.agent").mkdir()
    for folder in (root, *root.rglob("*")):
        (folder / "memory.min").write_text("0\n")
    return root


@pytest.fixture
async def core(top: Path, tmp_path: Path) -> AsyncIterator[Core]:
    host = Host("test", frozenset({0}), 1 << 34, {}, str(top))
    made = Core(
        settings=Settings(),
        host=host,
        root=CgroupDir.open(top),
        journal=Journal(tmp_path / "journal", keep=10),
        bus=Bus(),
        state=State(),
        watch=Watch(),
    )
    yield made
    await made.stop()
    for session in made.state.sessions.values():
        session.tree.close()
    made.watch.close()
    made.journal.close()
    made.root.close()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with systemd.bus(tmp_path) as made:
        yield made


@pytest.fixture
async def manager(core: Core, address: str, top: Path) -> AsyncIterator[Systemd]:
    """A host whose slice, keeper and container scope belong to systemd."""
    works = Mechanism("systemd", works=True, detail="")
    core.host = Host("test", frozenset({0}), 1 << 34, {"systemd": works}, str(top))
    core.bus_address = address
    async with systemd.serving(address) as made:
        made.cgroups = top
        for path in ("agentcg.slice", KEEPER, SCOPE):
            made.unit(path.rpartition("/")[2], path)
        yield made


def session(core: Core, path: str) -> LiveSession:
    name = path.rpartition("/")[2].partition(".")[0]
    cgroup = core.root.open_path(path)
    tree = Tree(cgroup, cgroup.child("agentcg.agent"), cgroup.child("agentcg.calls"))
    record = Session(SessionId(name), Runtime.BARE, path, cgroup.id)
    live = LiveSession(record, tree, cpus=frozenset())
    core.state.add_session(live)
    return live


async def declare(core: Core, live: LiveSession, mib: int, name: str = "c-1") -> LiveCall:
    grant = Grant(memory_guarantee=mib * MIB, enforced={"memory.guarantee": "ok"})
    call = LiveCall(Call(CallId(name), live.record.id, Intent(), grant), live)
    core.state.add_call(call)
    await guarantees.hold(core, call)
    return call


def close(core: Core, call: LiveCall) -> None:
    core.state.drop_call(call)
    guarantees.change(core, call.record.grant)


def minima(top: Path) -> dict[str, int]:
    """What is not zero, in MiB."""
    found = {str(p.parent.relative_to(top)): int(p.read_text()) for p in top.rglob("memory.min")}
    return {path: value // MIB for path, value in found.items() if value}


async def until(top: Path, wanted: dict[str, int]) -> None:
    for _ in range(200):
        if minima(top) == wanted:
            return
        await asyncio.sleep(0.02)
    assert minima(top) == wanted


def levels(*sessions: tuple[str, int]) -> dict[str, int]:
    made: dict[str, int] = {}
    for path, mib in sessions:
        parts = [*Path(path).parts, "agentcg.calls"]
        for depth in range(1, len(parts) + 1):
            level = "/".join(parts[:depth])
            made[level] = made.get(level, 0) + mib
    return made


async def test_without_systemd_all_levels_are_written_directly(core: Core, top: Path) -> None:
    one, two = session(core, SESSIONS[0]), session(core, SESSIONS[1])
    first = await declare(core, one, 64)
    assert first.record.grant.enforced["memory.guarantee"] == "ok"
    assert minima(top) == levels((SESSIONS[0], 64))
    await declare(core, two, 32, "c-2")
    assert minima(top) == levels((SESSIONS[0], 64), (SESSIONS[1], 32))
    await guarantees.undo(core)
    assert minima(top) == {}


async def test_without_a_guarantee_nothing_happens(core: Core, manager: Systemd) -> None:
    live = session(core, SCOPE)
    for number in range(5):
        close(core, await declare(core, live, 0, f"c-{number}"))
    await guarantees.start(core)
    assert manager.asked == []
    assert core.guarantees.asked == 0


async def test_units_are_set_by_systemd_and_the_rest_directly(
    core: Core, manager: Systemd, top: Path
) -> None:
    call = await declare(core, session(core, SCOPE), 64)
    assert call.record.grant.enforced["memory.guarantee"] == "ok"
    assert minima(top) == levels((SCOPE, 64))
    asked = [(name, props[0][1].value) for name, _, props in manager.did("SetUnitProperties")]
    assert asked == [("agentcg.slice", 64 * MIB), ("docker-c.scope", 64 * MIB)]


async def test_the_keeper_is_a_unit_too_and_a_session_of_its_own_is_not(
    core: Core, manager: Systemd, top: Path
) -> None:
    await declare(core, session(core, SESSIONS[0]), 16)
    assert minima(top) == levels((SESSIONS[0], 16))
    asked = [name for name, _, _ in manager.did("SetUnitProperties")]
    assert asked == ["agentcg.slice", "agentcg-keeper.service"]


async def test_a_directory_that_is_only_called_like_a_unit_is_written_directly(
    core: Core, manager: Systemd, top: Path
) -> None:
    manager.unit("docker-c.scope", "elsewhere/docker-c.scope")
    await declare(core, session(core, SCOPE), 64)
    assert minima(top) == levels((SCOPE, 64))
    assert [name for name, _, _ in manager.did("SetUnitProperties")] == ["agentcg.slice"]


async def test_lowering_waits_so_that_calls_in_a_row_cost_one_round(
    core: Core, manager: Systemd, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarantees, "LOWER_AFTER", 0.5)
    live = session(core, SCOPE)
    for number in range(10):
        close(core, await declare(core, live, 64, f"c-{number}"))
    assert len(manager.did("SetUnitProperties")) == 2
    await until(top, {})
    assert len(manager.did("SetUnitProperties")) == 4
    # The ledger is brought up to date after the last file is.
    async with asyncio.timeout(30):
        while core.guarantees.running:
            await asyncio.sleep(0.01)
    assert core.guarantees.written == {}


async def test_many_at_once_are_written_together(core: Core, manager: Systemd, top: Path) -> None:
    live = session(core, SCOPE)
    await asyncio.gather(*(declare(core, live, 1, f"c-{n}") for n in range(50)))
    assert minima(top) == levels((SCOPE, 50))
    assert len(manager.did("SetUnitProperties")) <= 6


async def test_a_lower_guarantee_stays_for_those_who_still_have_one(
    core: Core, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarantees, "LOWER_AFTER", 0.05)
    live = session(core, SESSIONS[3])
    first = await declare(core, live, 8)
    await declare(core, live, 4, "c-2")
    close(core, first)
    await until(top, levels((SESSIONS[3], 4)))


async def test_a_session_outside_the_pool_is_told(core: Core, top: Path) -> None:
    call = await declare(core, session(core, SESSIONS[4]), 8)
    said = call.record.grant.enforced["memory.guarantee"]
    assert said.startswith("unsupported: 'other.slice/x.scope' is not below the pool")
    assert minima(top) == {}


async def test_a_bus_that_is_not_there_is_told_and_tried_again(
    core: Core, manager: Systemd, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarantees, "LOWER_AFTER", 0.05)
    core.bus_address = "unix:path=/nonexistent"
    live = session(core, SCOPE)
    call = await declare(core, live, 8)
    assert "no system bus" in call.record.grant.enforced["memory.guarantee"]
    core.bus_address = manager.address
    second = await declare(core, live, 8, "c-2")
    assert second.record.grant.enforced["memory.guarantee"] == "ok"
    assert minima(top) == levels((SCOPE, 16))


async def test_systemd_that_does_not_do_what_it_accepted_is_told(
    core: Core, manager: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentcg.control.memory_min.ARRIVES_WITHIN", 0.1)
    manager.cgroups = None
    call = await declare(core, session(core, SCOPE), 8)
    assert "though systemd accepted it" in call.record.grant.enforced["memory.guarantee"]


async def test_systemd_that_hangs_does_not_hold_a_call_for_long(
    core: Core, manager: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarantees, "SETTLE_WITHIN", 0.3)
    monkeypatch.setattr(sdbus, "CALL_WITHIN", 1.0)
    manager.silent.add("SetUnitProperties")
    call = await declare(core, session(core, SCOPE), 8)
    assert "within 0.3 s" in call.record.grant.enforced["memory.guarantee"]


async def test_a_container_that_is_gone_is_forgotten(
    core: Core, manager: Systemd, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarantees, "LOWER_AFTER", 0.05)
    live = session(core, SCOPE)
    call = await declare(core, live, 8)
    for path in sorted((top / SCOPE).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (top / SCOPE).rmdir()
    del manager.units["docker-c.scope"]
    close(core, call)
    await until(top, {})
    while core.guarantees.running:
        await asyncio.sleep(0.01)
    assert core.guarantees.written == {}
    assert core.guarantees.problems == {}


async def test_what_an_earlier_daemon_left_is_corrected(
    core: Core, manager: Systemd, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarantees, "LOWER_AFTER", 0.05)
    for level in levels((SCOPE, 1)):
        (top / level / "memory.min").write_text(f"{99 * MIB}\n")
    live = session(core, SCOPE)
    grant = Grant(memory_guarantee=5 * MIB)
    core.state.add_call(LiveCall(Call(CallId("c-1"), live.record.id, Intent(), grant), live))
    await guarantees.start(core)
    await until(top, levels((SCOPE, 5)))
    assert manager.units["agentcg.slice"]["MemoryMin"] == 5 * MIB


async def test_after_the_stop_nothing_is_written_again(core: Core, top: Path) -> None:
    live = session(core, SESSIONS[3])
    await declare(core, live, 8)
    await guarantees.undo(core)
    guarantees.change(core, Grant(memory_guarantee=MIB))
    while core.guarantees.running:
        await asyncio.sleep(0.01)
    assert minima(top) == {}
