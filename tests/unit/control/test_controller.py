"""What the controller answers while things change below it."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcg.api.controller import Caller, Peer, Role
from agentcg.control.controller import Daemon
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.state import LiveCall, LiveSession, State
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call, CallState
from agentcg.model.grant import Grant
from agentcg.model.host import Host
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.sample import Counters
from agentcg.model.session import Runtime, Session
from agentcg.settings import Settings
from agentcg.telemetry.bus import Bus


async def test_a_call_that_closes_while_calls_are_listed_is_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Any = None
    with (
        contextlib.closing(Journal(tmp_path / "journal", keep=10)) as journal,
        CgroupDir.open(tmp_path) as leaf,
    ):
        host = Host("test", frozenset(), 0, {}, str(tmp_path))
        core = Core(Settings(), host, leaf, journal, Bus(), State(), nothing)
        record = Session(SessionId("s"), Runtime.BARE, "s", 1)
        session = LiveSession(record, nothing, cpus=frozenset())
        call = Call(CallId("c-1"), record.id, Intent(), Grant(), state=CallState.EXITED)
        core.state.add_call(LiveCall(call, session, leaf=leaf))

        async def closes(_: Core, *__: object) -> dict[CallId, Counters]:
            journal.put_call(replace(call, state=CallState.CLOSED, closed_at=1.0))
            return {call.id: Counters()}

        monkeypatch.setattr(Core, "blocking", closes)
        admin = Caller(Role.ADMIN, Peer(-1, 1, 0))
        views = await Daemon(core).calls(admin, everything=True)
        assert [(v.call.id, v.call.state) for v in views] == [("c-1", CallState.CLOSED)]
        await core.stop()
