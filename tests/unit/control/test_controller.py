"""What the controller answers while things change below it."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcg.api.controller import Caller, Peer, Role
from agentcg.control import metering, sessions
from agentcg.control.controller import Daemon
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.state import LiveCall, LiveSession, State
from agentcg.errors import DeniedError, NotFoundError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call, CallState
from agentcg.model.event import Kind
from agentcg.model.grant import Grant
from agentcg.model.host import Host
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.metered import Totals
from agentcg.model.outcome import Cause
from agentcg.model.sample import Counters, Sample, Usage
from agentcg.model.session import Runtime, Session
from agentcg.model.trace import Account, Window
from agentcg.settings import Settings
from agentcg.telemetry.bus import Bus
from tests.unit.control.recorded import fleet


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


async def test_a_session_learns_nothing_of_others_from_what_was_recorded(tmp_path: Path) -> None:
    async with fleet(tmp_path / "top", tmp_path / "state") as made:
        door, peer = Daemon(made.core), Peer(-1, 1, 0)
        admin, own = Caller(Role.ADMIN, peer), Caller(Role.SESSION, peer, SessionId("s-1"))
        for name, session, at in (("c-1", "s-1", 9.0), ("c-2", "s-2", 8.0), ("c-0", "s-1", -5.0)):
            one = Account(CallId(name), SessionId(session), "make", at, Cause.EXITED)
            made.traces.store.note(one)
        assert [a.call for a in await door.accounts(admin, None, Window(0.0), None)] == [
            "c-1",
            "c-2",
        ]
        # Who had its name before it was another.
        assert [a.call for a in await door.accounts(own, None, Window(0.0), None)] == ["c-1"]
        with pytest.raises(NotFoundError):
            await door.accounts(own, SessionId("s-2"), Window(), None)
        with pytest.raises(NotFoundError):
            await door.recorded(own, SessionId("s-2"), Window(), None)
        with pytest.raises(DeniedError):
            await door.accounts(Caller(Role.NOBODY, peer), None, Window(), None)


async def test_the_trace_of_a_call_outlives_its_record_for_whom_it_belongs_to(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path / "top", tmp_path / "state") as made:
        door, peer = Daemon(made.core), Peer(-1, 1, 0)
        admin, own = Caller(Role.ADMIN, peer), Caller(Role.SESSION, peer, SessionId("s-1"))
        for name, session, at in (("c-1", "s-1", 9.0), ("c-2", "s-2", 8.0), ("c-0", "s-1", -5.0)):
            one = Account(CallId(name), SessionId(session), "make", at, Cause.OOM, 3.0, limit=7)
            made.traces.store.note(one)
            made.traces.store.put(session, name, Sample(at, at, True, Usage(5, 6)))
        for caller, seen in ((admin, ("c-0", "c-1", "c-2")), (own, ("c-1",))):
            for name in ("c-0", "c-1", "c-2", "c-none"):
                if name not in seen:
                    with pytest.raises(NotFoundError):
                        await door.call_trace(caller, CallId(name), Window(-9.0))
                    continue
                found = await door.call_trace(caller, CallId(name), Window(-9.0))
                assert [sample.usage for sample in found.samples] == [Usage(5, 6)]
                assert found.call is not None
                assert (found.call.intent.tool, found.limit) == ("make", 7)
                assert found.call.outcome is not None
                assert found.call.outcome.cause is Cause.OOM
        with pytest.raises(NotFoundError):
            await door.call_trace(Caller(Role.NOBODY, peer), CallId("c-1"), Window())
        with pytest.raises(NotFoundError):
            await door.call(admin, CallId("c-1"))


async def test_the_limit_of_a_closed_session_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path / "top", tmp_path / "state") as made:
        door, admin, name = Daemon(made.core), Caller(Role.ADMIN, Peer(-1, 1, 0)), SessionId("s-1")
        made.core.recorder.begin()
        made.core.tell(Kind.SESSION_OPENED, "", session=name)
        # As it is at its end, whatever it was when it was opened.
        made.session.record = replace(made.session.record, limit=1)
        made.session.limit = 77
        monkeypatch.setattr(sessions, "_leave", lambda *_: None)
        await sessions.close(made.core, made.session)
        assert (await door.session_trace(admin, name, Window(0.0))).limit == 77


async def test_a_session_is_metered_from_its_opening_on(tmp_path: Path) -> None:
    async with fleet(tmp_path / "top", tmp_path / "state") as made:
        core, home = made.core, tmp_path / "top/pool/s-1"
        core.meter.open("s-1", await metering.base(core, made.session.tree.session))
        own, other = await Daemon(core).metered()
        assert (own.session, own.memory, own.totals) == ("s-1", 1 << 20, Totals())
        assert (other.session, other.memory) == ("other", 0)
        (home / "cpu.stat").write_text("usage_usec 2001000\nthrottled_usec 500000\n")
        (own, _) = await Daemon(core).metered()
        assert own.totals == Totals(cpu=2.0, throttled=0.5)
