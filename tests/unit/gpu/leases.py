"""Leases and a cgroup, as guards are given them."""

from pathlib import Path

from agentcg.model.gpu import GpuWish, Lease, LeaseId, LeaseState
from agentcg.model.ids import CallId, SessionId
from tests.gpu.nvml import ONE


def lease(name: str = "g-1", memory: int = 100, gpu: str | None = ONE) -> Lease:
    return Lease(
        id=LeaseId(name),
        session=SessionId("s-1"),
        call=CallId("c-1"),
        wish=GpuWish(memory),
        state=LeaseState.GRANTED,
        asked_at=0.0,
        gpu=gpu,
        bytes=memory,
    )


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made
