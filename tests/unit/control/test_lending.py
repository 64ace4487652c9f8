"""A call's lease of GPU memory: asked for with its declaration, over with its end."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentcg.api.controller import NO_PEER, Caller, Role
from agentcg.control import calls, freezing, hooking, lending, placing
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.state import LiveCall
from agentcg.errors import (
    BadValueError,
    ConflictError,
    DeniedError,
    LimitError,
    NotFoundError,
    UnsupportedError,
)
from agentcg.model.call import CallState
from agentcg.model.gpu import GpuWish, Lease, LeaseState, OnDeny, ProgramPhase
from agentcg.model.ids import CallId, LeaseId, ProgramId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.wire_gpu import LeasePatchBody, ProgramBody
from tests.unit.control.conftest import ONE, settled
from tests.unit.control.lessor import GIB, Lessor

WISH = GpuWish(8 * GIB, wait=60.0, program=ProgramId("p-1"))
ADMIN = Caller(Role.ADMIN, NO_PEER)
OWN = Caller(Role.SESSION, NO_PEER, SessionId("s"))
OTHER = Caller(Role.SESSION, NO_PEER, SessionId("t"))
CALL = Caller(Role.CALL, NO_PEER, SessionId("s"), ONE)
PEER_OF_NONE = Caller(Role.NOBODY, NO_PEER)


@pytest.fixture
def lessor(
    core: Core, call: LiveCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lessor]:
    made: Any = Lessor()
    made.room.set()
    monkeypatch.setattr(lending, "SOON", 0.05)
    monkeypatch.setattr(lending, "WITHIN", 0.05)
    call.record = replace(call.record, intent=Intent(tool="pytest", gpu=WISH))
    with contextlib.closing(Journal(tmp_path / "journal", keep=10)) as journal:
        core.journal, core.leases = journal, made
        yield made


async def test_a_declaration_has_its_lease(core: Core, call: LiveCall, lessor: Lessor) -> None:
    await lending.grant(core, call)
    grant = call.record.grant
    assert grant.env == {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    assert grant.enforced["gpu"] == "ok: by the driver"
    assert lending.refused(call) == ""
    found = core.journal.call(ONE)
    assert found is not None
    assert found.grant == grant
    await settled(core)
    assert lessor.told == [("p-1", ProgramPhase.TOOL_START)]


async def test_who_only_declares_hears_that_it_waits_and_has_it_later(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    lessor.room.clear()
    await lending.grant(core, call)
    assert call.record.grant.env == {"CUDA_VISIBLE_DEVICES": ""}
    assert list(call.record.grant.notes) == ["Waits."]
    lessor.room.set()
    await settled(core)
    assert call.record.grant.env == {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    assert not call.record.grant.notes


async def test_a_command_about_to_start_waits_no_longer_than_acg(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    call.record = replace(call.record, by_peer=True)
    lessor.room.clear()
    await lending.grant(core, call)
    assert lessor.leases[LeaseId("g-0")].state is LeaseState.RELEASED
    assert lending.refused(call).startswith("Denied 8 GiB of GPU memory: there was no room within")
    lessor.room.set()


@pytest.mark.parametrize(("on_deny", "runs"), [(OnDeny.FAIL, False), (OnDeny.CPU, True)])
async def test_a_refusal_is_the_grants_and_the_command_runs_if_it_may(
    core: Core, call: LiveCall, lessor: Lessor, on_deny: OnDeny, *, runs: bool
) -> None:
    intent = replace(call.record.intent, gpu=replace(WISH, on_deny=on_deny))
    call.record = replace(call.record, intent=intent)
    lessor.refuses = LimitError("too many wait")
    await lending.grant(core, call)
    assert "too many wait" in call.record.grant.notes[0]
    assert call.record.grant.env == {"CUDA_VISIBLE_DEVICES": ""}
    assert (lending.refused(call) == "") is runs


async def test_where_it_is_off_nothing_is_set(core: Core, call: LiveCall, lessor: Lessor) -> None:
    del lessor
    core.leases = None
    await lending.grant(core, call)
    assert call.record.grant.env == {}
    assert call.record.grant.enforced["gpu"].startswith("unsupported: gpu.enabled is off")
    assert lending.refused(call) == ""
    with pytest.raises(UnsupportedError, match=r"gpu\.enabled is off"):
        await lending.view(core, ADMIN)


async def test_the_end_of_a_call_is_that_of_its_lease(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    await lending.grant(core, call)
    lending.over(core, call, left=True)
    await settled(core)
    assert lessor.leases[LeaseId("g-0")].state is LeaseState.RELEASED
    call.record = replace(call.record, outcome=Outcome(Cause.EXITED, wall=4.0))
    lending.over(core, call, left=False)
    await settled(core)
    assert lessor.ended == [ONE]
    assert lessor.took == [("pytest", 4.0)]
    assert lessor.told[-1] == ("p-1", ProgramPhase.TOOL_END)


async def test_limits_that_are_changed_leave_the_lease_in_the_grant(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    await lending.grant(core, call)
    fresh = replace(call.record.grant, env={}, enforced={}, notes=())
    assert lending.kept(core, call, fresh).env == {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    call.gpu = None  # by another daemon
    assert lending.kept(core, call, fresh).enforced == {"gpu": "ok: by the driver"}
    assert lessor.leases


async def test_each_sees_its_own_leases(core: Core, call: LiveCall, lessor: Lessor) -> None:
    made = await lending.ask_for(core, CALL, None, WISH)
    for caller in (ADMIN, OWN, CALL):
        assert lending.lease(core, caller, made.id) == made
        assert (await lending.view(core, caller)).leases == (made,)
        assert (await lending.change(core, caller, made.id, LeasePatchBody(memory=GIB))).bytes
        lessor.leases[made.id] = made
    for caller in (OTHER, Caller(Role.CALL, NO_PEER, SessionId("s"), CallId("c-2"))):
        with pytest.raises(NotFoundError, match="not yours"):
            lending.lease(core, caller, made.id)
        assert (await lending.view(core, caller)).leases == ()
        with pytest.raises(NotFoundError):
            await lending.ask_for(core, caller, ONE, WISH)
    with pytest.raises(DeniedError):
        await lending.view(core, PEER_OF_NONE)
    with pytest.raises(BadValueError, match="say for which call"):
        await lending.ask_for(core, OWN, None, WISH)
    with pytest.raises(NotFoundError):
        await lending.release(core, ADMIN, LeaseId("g-9"))
    call.record = replace(call.record, state=CallState.LINGERING)
    with pytest.raises(ConflictError, match="lingering"):
        await lending.ask_for(core, OWN, ONE, WISH)


async def test_a_program_is_its_sessions_to_tell_of(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    assert call.session.record.id == "s"
    body = ProgramBody(event=ProgramPhase.LLM_END, tool="python -m pytest x", kv_bytes=GIB)
    told = await lending.program(core, OWN, None, ProgramId("p"), body)
    assert (told.kv_bytes, told.tool) == (GIB, "pytest")
    await lending.program(core, ADMIN, SessionId("s"), ProgramId("p"), body)
    assert len(lessor.told) == 2
    with pytest.raises(NotFoundError):
        await lending.program(core, OTHER, SessionId("s"), ProgramId("p"), body)
    with pytest.raises(BadValueError, match="say whose"):
        await lending.program(core, ADMIN, None, ProgramId("p"), body)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("held", [False, True])
async def test_who_is_stopped_for_its_lease_is_neither_thawed_nor_frozen_by_request(
    core: Core, call: LiveCall, *, frozen: bool, held: bool
) -> None:
    call.gpu_held, call.gpu_gates = held, int(not held)
    with pytest.raises(ConflictError, match="beyond its lease"):
        async with asyncio.timeout(10):
            await freezing.freeze(core, call, frozen=frozen)


async def test_nor_is_who_stands_at_the_gate_and_was_not_told_of_yet(
    core: Core, call: LiveCall
) -> None:
    guard = SimpleNamespace(waits=lambda leaf: leaf is call.leaf)
    gpus: Any = SimpleNamespace(watched=guard)
    core.gpus = gpus
    with pytest.raises(ConflictError, match="beyond its lease"):
        await freezing.freeze(core, call, frozen=True)


@pytest.mark.parametrize("line", [False, True])
async def test_a_refusal_keeps_who_asked_from_running_and_no_wrapped_shell(
    core: Core, call: LiveCall, lessor: Lessor, monkeypatch: pytest.MonkeyPatch, *, line: bool
) -> None:
    lessor.refuses = LimitError("too many wait")
    await lending.grant(core, call)

    async def declared(*_: object) -> LiveCall:
        return call

    monkeypatch.setattr(calls, "declare", declared)
    intent = call.record.intent
    monkeypatch.setattr(hooking, "arrived", lambda *_: (None, intent))
    if not line:
        with pytest.raises(LimitError, match="--gpu-on-deny cpu"):
            await placing.run(core, call.session, NO_PEER, [("A", "x")], line=False)
        return
    placed = await placing.run(core, call.session, NO_PEER, [("A", "x")], line=True)
    assert placed.env["CUDA_VISIBLE_DEVICES"] == ""
    assert "too many wait" in placed.messages[0]


async def test_a_hint_of_a_gpu_where_none_is_leased_refuses_nothing(
    core: Core, call: LiveCall
) -> None:
    hint = ("E", "AGENT_RESOURCE_HINT=gpu:a100,pids:7")
    _, intent = placing._intent(core, call.session, [("A", "x"), hint], line=False)
    assert intent is not None
    assert (intent.gpu, intent.pids) == (None, 7)


async def test_a_call_without_a_cgroup_has_no_lease(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    call.leaf = None
    with pytest.raises(ConflictError, match="no cgroup yet"):
        await lending.ask_for(core, OWN, ONE, WISH)
    assert lessor.leases == {}


async def test_a_change_for_more_waits_for_so_long_only(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    assert call.leaf is not None
    made = await lending.ask_for(core, OWN, ONE, WISH)
    lessor.room.clear()
    with pytest.raises(LimitError, match="no room for more within"):
        await lending.change(core, OWN, made.id, LeasePatchBody(memory=9 * GIB))
    assert lessor.leases[made.id] == made


async def test_the_time_of_a_command_counts_from_its_declaration(
    core: Core, call: LiveCall, lessor: Lessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending, "WITHIN", 8.0)
    call.record = replace(call.record, by_peer=True, declared_at=core.now() - 7.95)
    lessor.room.clear()
    async with asyncio.timeout(5):
        await lending.grant(core, call)
    assert lessor.leases[LeaseId("g-0")].state is LeaseState.RELEASED


async def test_whose_wait_a_restart_ended_is_told(
    core: Core, call: LiveCall, lessor: Lessor
) -> None:
    queued = Lease(
        *(LeaseId("g-0"), SessionId("s"), ONE, WISH, LeaseState.QUEUED, 5.0), reason="Waits."
    )
    lessor.leases[queued.id] = queued
    waiting = replace(call.record, grant=lending.kept(core, call, call.record.grant))
    call.record = waiting
    lessor.leases[queued.id] = replace(queued, state=LeaseState.GRANTED, gpu="GPU-1")
    lending.restarted(core, call)
    assert call.record.grant.env == {
        "CUDA_VISIBLE_DEVICES": "GPU-1"
    }  # and its grant did not say so
    call.record = waiting
    lessor.leases.clear()
    lending.restarted(core, call)
    told = call.record.grant
    assert "the daemon was restarted" in told.notes[-1]
    lending.restarted(core, call)
    assert call.record.grant == told
