"""What the tests of the GPU guards share: a device, a guard, a lease, its account and gate."""

import functools
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcg.gpu.gates import Gate
from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GpuWish, Lease, LeaseId, LeaseState
from agentcg.model.ids import CallId, SessionId
from tests.gpu.tenants import LIBRARY

# What takes memory, and what gives it back.
PAIRS = [
    ("cuMemAlloc_v2", "cuMemFree_v2"),
    ("cuMemAllocManaged", "cuMemFree_v2"),
    ("cuMemAllocAsync", "cuMemFreeAsync"),
    ("cuMemAllocAsync_ptsz", "cuMemFreeAsync_ptsz"),
    ("cuMemAllocFromPoolAsync", "cuMemFreeAsync"),
    ("cuMemAllocFromPoolAsync_ptsz", "cuMemFreeAsync_ptsz"),
    ("cuMemAllocPitch_v2", "cuMemFree_v2"),
    ("cuMemCreate", "cuMemRelease"),
    ("cuArrayCreate_v2", "cuArrayDestroy"),
    ("cuArray3DCreate_v2", "cuArrayDestroy"),
]
MIB = 1 << 20
GPU, _MINOR = 1, 5  # for a GPU's: the numbers of /dev/zero
OPEN = "import os, sys; os.close(os.open(sys.argv[1], os.O_RDWR))"
# Opens it, says so, and on a line of input uses what it has.
KEEPS = (
    "import os, sys; d = os.open(sys.argv[1], 2); print('open', flush=True); input(); os.read(d, 1)"
)


@contextmanager
def device_in(folder: Path) -> Iterator[Path]:
    """A GPU's device."""
    place = folder / "dev"
    place.mkdir()
    # Of its own: where systemd mounts /tmp, no device can be opened there.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    path = place / "nvidia0"
    os.mknod(path, 0o20666, os.makedev(GPU, _MINOR))
    yield path
    subprocess.run(["umount", place], check=True)


def lease(size: int = 0, name: str = "g-1") -> Lease:
    """A lease of so many bytes."""
    wish = GpuWish(memory=size)
    ids = (LeaseId(name), SessionId("s-1"), CallId("c-1"))
    return Lease(*ids, wish, LeaseState.QUEUED, asked_at=0.0, bytes=size)


@functools.cache
def _trouble() -> str | None:
    """Why there can be no guard here; asked once, as it takes seconds in emulation."""
    return UprobeGuard([LIBRARY], timeout=600).probe()


@contextmanager
def watching(timeout: float = 600) -> Iterator[UprobeGuard]:
    """A guard on the fake library, started; skipped where there can be none."""
    guard = UprobeGuard([LIBRARY], timeout=timeout)
    reason = _trouble()
    if reason is not None:
        _trouble.cache_clear()  # it may pass
        assert "AGENTCG_IN_VM" not in os.environ, reason
        pytest.skip(reason)
    guard.start()
    try:
        yield guard
    finally:
        guard.close()


def used(guard: UprobeGuard, leaf: CgroupDir) -> int:
    """What a leaf's processes are charged."""
    account = guard.account(leaf)
    assert account is not None
    return int(account.used)


def comes(guard: UprobeGuard, wanted: Callable[[Gate], bool] = lambda _: True) -> Gate:
    """The next gate."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        select.select([guard.fd], [], [], 1)
        for gate in guard.turn(time.monotonic()):
            if wanted(gate):
                return gate
    raise AssertionError("no gate")
