"""A daemon with one session, without a kernel: its cgroups are directories of plain files."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcg.control import entering
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession, State
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call, CallState
from agentcg.model.event import Event
from agentcg.model.grant import Grant
from agentcg.model.host import Host
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.session import Runtime, Session
from agentcg.sandbox.tree import Tree
from agentcg.settings import Observer, Settings
from agentcg.telemetry.bus import Bus
from tests.unit.control.lessor import LEASE, Lessor

PLACES = 3
ONE = CallId("c-1")


async def settled(core: Core) -> None:
    while core._tasks:
        await asyncio.sleep(0.01)


@pytest.fixture
async def core() -> AsyncIterator[Core]:
    nothing: Any = None
    settings = Settings(observer=Observer(places=PLACES))
    host = Host("6", frozenset({0}), 1, {}, "/")
    made = Core(settings, host, nothing, nothing, Bus(), State(), nothing, now=lambda: 5.5)
    yield made
    await made.stop()


@pytest.fixture
def live(core: Core, tmp_path: Path) -> LiveSession:
    for name in ("agentcg.agent", "agentcg.calls"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").write_text("")
    top = CgroupDir.open(tmp_path)
    tree = Tree(top, top.child("agentcg.agent"), top.child("agentcg.calls"))
    record = Session(SessionId("s"), Runtime.BARE, "pool/s", top.id)
    made = LiveSession(record, tree, frozenset())
    core.state.add_session(made)
    return made


@pytest.fixture
def call(core: Core, live: LiveSession) -> LiveCall:
    """One that runs, under the key `k`."""
    (live.tree.calls.path / ONE).mkdir()
    leaf = live.tree.calls.child(ONE)
    made = LiveCall(Call(ONE, live.record.id, Intent(key="k"), Grant()), live, leaf=leaf)
    made.record = replace(made.record, state=CallState.RUNNING)
    core.state.add_call(made)
    return made


@pytest.fixture
def lessor(core: Core) -> Lessor:
    made = Lessor(leases={LEASE.id: LEASE})
    made.room.set()
    as_leases: Any = made
    core.leases = as_leases
    return made


@pytest.fixture
def told(core: Core, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    heard: list[Event] = []
    monkeypatch.setattr(core.recorder, "heard", heard.append)
    return heard


def gathers(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[int, int]]:
    """What is asked to be gathered."""
    asked: list[Mapping[int, int]] = []

    def gather(_core: Core, _leaf: CgroupDir, _agent: CgroupDir, known: Mapping[int, int]) -> bool:
        asked.append(known)
        return False

    monkeypatch.setattr(entering, "gather", gather)
    return asked
