"""systemd's D-Bus interface, against a fake of it on a real message bus."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentcg.errors import (
    AgentcgError,
    ConflictError,
    DeniedError,
    NotFoundError,
    ProcessGoneError,
    UnavailableError,
)
from agentcg.kernel import sdbus
from agentcg.kernel.sdbus import Unit
from tests.unit.kernel import systemd
from tests.unit.kernel.systemd import NAME, Systemd


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with systemd.bus(tmp_path) as made:
        yield made


@pytest.fixture
async def fake(address: str) -> AsyncIterator[Systemd]:
    async with systemd.serving(address) as made:
        yield made


async def test_units_by_name_and_by_pid(fake: Systemd) -> None:
    fake.unit("a.scope", "agentcg.slice/a.scope", delegated=True)
    fake.unit("agentcg.slice", "agentcg.slice")
    fake.of_pid[77] = "a.scope"
    async with sdbus.connected(fake.address) as manager:
        assert await manager.unit_of(77) == Unit("a.scope", "agentcg.slice/a.scope", delegated=True)
        assert await manager.unit("agentcg.slice") == Unit(
            "agentcg.slice", "agentcg.slice", delegated=False
        )
        with pytest.raises(NotFoundError, match="not loaded"):
            await manager.unit("b.scope")


async def test_a_unit_without_a_cgroup_is_no_target(fake: Systemd) -> None:
    fake.unit("a.socket", "")
    async with sdbus.connected(fake.address) as manager:
        with pytest.raises(NotFoundError, match="a socket has no cgroup"):
            await manager.unit("a.socket")


async def _start(manager: sdbus.Systemd) -> Unit:
    return await manager.start_scope(
        "agentcg-x.scope", pids=[5, 6], slice_name="agentcg.slice", limits={"MemoryMax": 1 << 40}
    )


async def test_a_scope_is_started_and_waited_for(fake: Systemd) -> None:
    async with sdbus.connected(fake.address) as manager:
        made = await _start(manager)
    assert made == Unit("agentcg-x.scope", "agentcg.slice/agentcg-x.scope", delegated=True)
    [[name, mode, properties, aux]] = fake.did("StartTransientUnit")
    assert (name, mode, aux) == ("agentcg-x.scope", "fail", [])
    values = {key: variant.value for key, variant in properties}
    assert values == {
        "Description": "agentcg session",
        "PIDs": [5, 6],
        "Slice": "agentcg.slice",
        "Delegate": True,
        "CollectMode": "inactive-or-failed",
        "MemoryMax": 1 << 40,
    }
    # Else systemd sends no signal, and the job would be waited for in vain.
    order = [member for member, _ in fake.asked]
    assert order.index("Subscribe") < order.index("StartTransientUnit")


async def test_a_job_that_fails_or_never_ends_is_an_error(
    fake: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdbus, "JOB_WITHIN", 0.2)
    async with sdbus.connected(fake.address) as manager:
        fake.result = "failed"
        with pytest.raises(UnavailableError, match=r"did not start agentcg-x.scope: failed"):
            await _start(manager)
        fake.result = None
        with pytest.raises(UnavailableError, match=r"not done in 0.2 s"):
            await _start(manager)


async def test_memory_min_is_set_until_the_next_boot(fake: Systemd) -> None:
    fake.unit("agentcg.slice", "agentcg.slice")
    async with sdbus.connected(fake.address) as manager:
        await manager.set_memory_min("agentcg.slice", 1 << 30)
        with pytest.raises(NotFoundError):
            await manager.set_memory_min("b.slice", 1)
    assert fake.did("SetUnitProperties")[0][:2] == ["agentcg.slice", True]
    assert fake.units["agentcg.slice"]["MemoryMin"] == 1 << 30


ERRORS: list[tuple[str, type[AgentcgError]]] = [
    (f"{NAME}.UnitExists", ConflictError),
    (f"{NAME}.NoUnitForPID", NotFoundError),
    (f"{NAME}.NoSuchProcess", ProcessGoneError),
    ("System.Error.ESRCH", ProcessGoneError),
    ("org.freedesktop.DBus.Error.AccessDenied", DeniedError),
    ("org.freedesktop.DBus.Error.Failed", UnavailableError),
]


@pytest.mark.parametrize(("name", "kind"), ERRORS)
async def test_errors_become_ours(fake: Systemd, name: str, kind: type[AgentcgError]) -> None:
    fake.errors["GetUnitByPID"] = (name, "as it says")
    async with sdbus.connected(fake.address) as manager:
        with pytest.raises(kind, match="as it says"):
            await manager.unit_of(9)


async def test_a_manager_that_does_not_answer_is_given_up(
    fake: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdbus, "CALL_WITHIN", 0.2)
    fake.silent.add("GetUnit")
    async with sdbus.connected(fake.address) as manager:
        with pytest.raises(UnavailableError, match="no answer to GetUnit"):
            await manager.unit("a.scope")


async def test_no_systemd_on_the_bus(address: str) -> None:
    async with sdbus.connected(address) as manager:
        with pytest.raises(UnavailableError, match="systemd1"):
            await manager.unit("a.scope")


async def test_no_bus(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no system bus"):
        async with sdbus.connected(f"unix:path={tmp_path / 'none'}"):
            pass


async def test_a_bus_that_dies(tmp_path: Path) -> None:
    with systemd.bus(tmp_path) as address:
        connection: Any = sdbus.connected(address)
        manager = await connection.__aenter__()
    await asyncio.sleep(0.1)
    with pytest.raises(UnavailableError):
        await manager.unit("a.scope")
    await connection.__aexit__(None, None, None)
