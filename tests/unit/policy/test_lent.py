"""What a grant says of GPU memory."""

from dataclasses import replace
from pathlib import PurePath

import pytest

from agentcg.model.gpu import GpuWish, GuardKind, Lease, LeaseState
from agentcg.model.grant import Grant, holds
from agentcg.model.ids import CallId, LeaseId, SessionId
from agentcg.policy import lent

GIB = 1 << 30
WISH = GpuWish(8 * GIB, 4 * GIB)
GRANTED = Lease(
    *(LeaseId("g-1"), SessionId("s"), CallId("c"), WISH, LeaseState.GRANTED, 5.0),
    gpu="GPU-1",
    bytes=8 * GIB,
    guard=GuardKind.DRIVER,
)


def test_who_has_a_lease_sees_that_gpu_alone() -> None:
    part = lent.leased(GRANTED)
    assert part.env == {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    assert part.enforced == "ok: by the driver"
    assert part.note == ""


@pytest.mark.parametrize("guard", list(GuardKind))
def test_each_guard_says_how_it_holds(guard: GuardKind) -> None:
    part = lent.leased(replace(GRANTED, guard=guard))
    assert holds(part.enforced) is (guard is not GuardKind.NONE)


def test_programs_are_told_where_the_shim_finds_their_lease() -> None:
    part = lent.leased(GRANTED, PurePath("/run/agentcg/agent/gpu"))
    assert part.env["AGENTCG_GPU_LEASE"] == "/run/agentcg/agent/gpu/c"
    queued = replace(GRANTED, state=LeaseState.QUEUED)
    assert "AGENTCG_GPU_LEASE" not in lent.leased(queued, PurePath("/run")).env


def test_less_than_asked_is_said() -> None:
    part = lent.leased(replace(GRANTED, bytes=5 * GIB))
    assert part.note == "Granted 5 GiB of GPU memory of the 8 GiB that it asked for."


def test_who_waits_sees_no_gpu_yet_and_why() -> None:
    part = lent.leased(replace(GRANTED, state=LeaseState.QUEUED, bytes=0, reason="Waits."))
    assert part.env == {"CUDA_VISIBLE_DEVICES": ""}
    assert part.note == "Waits."
    assert not holds(part.enforced)


def test_who_is_denied_sees_no_gpu_and_why() -> None:
    gone = replace(GRANTED, state=LeaseState.DENIED, bytes=0, reason="Denied 8 GiB.")
    part = lent.leased(gone)
    assert (part.note, part.env) == ("Denied 8 GiB.", {"CUDA_VISIBLE_DEVICES": ""})
    assert not holds(part.enforced)
    assert lent.leased(replace(gone, reason="")).note == "Its lease of GPU memory is denied."


def test_a_host_that_leases_none_changes_nothing_for_the_call() -> None:
    part = lent.unleased(lent.OFF)
    assert part.env == {}
    assert part.enforced.startswith("unsupported: gpu.enabled is off")


def test_what_is_said_later_takes_the_place_of_what_was_said() -> None:
    grant = Grant(env={"A": "1"}, notes=("cores cut",), enforced={"pids": "ok"})
    waits = lent.leased(replace(GRANTED, state=LeaseState.QUEUED, reason="Waits."))
    before = lent.within(grant, waits, None)
    assert len(before.notes) == 2
    after = lent.within(before, lent.leased(GRANTED), waits)
    assert after.notes == ("cores cut",)
    assert after.env == {"A": "1", "CUDA_VISIBLE_DEVICES": "GPU-1"}
    assert after.enforced == {"pids": "ok", "gpu": "ok: by the driver"}
