"""What the tests of the GPU guards share: a bpf file system, a lease, a command in a cgroup."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentcg.kernel.bpffs import Pins
from agentcg.model.gpu import GpuWish, Lease, LeaseId, LeaseState
from agentcg.model.ids import CallId, SessionId

MIB = 1 << 20


@contextmanager
def pins_in(folder: Path) -> Iterator[Pins]:
    """A bpf file system of our own, in the mount namespace that `tools/in-cgroup` made."""
    base = folder / "bpf"
    base.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", base], check=True)
    try:
        yield Pins(base / "agentcg")
    finally:
        subprocess.run(["umount", base], check=True)


def lease(size: int = 0, name: str = "g-1") -> Lease:
    """A lease of so many bytes."""
    wish = GpuWish(memory=size)
    ids = (LeaseId(name), SessionId("s-1"), CallId("c-1"))
    return Lease(*ids, wish, LeaseState.GRANTED, asked_at=0.0, bytes=size)
