"""Tenants of the fake libcuda that load the shim before it, for tests."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.gpu.tenants import Device, Tenant
from tests.root.gpu import MIB

QUOTA = 100 * MIB
OUT_OF_MEMORY = "error 2"
SHIM = Path(__file__).parents[2] / "build/shim-tests"
_TENANT = Path(__file__).with_name("tenant.py")


class Leased:
    """A lease as the daemon tells a call of it, and programs of the call."""

    def __init__(self, folder: Path, stack: ExitStack, size: int, total: int, context: int) -> None:
        self.device = Device(folder, total)
        self.path = folder / f"c-{uuid.uuid4().hex[:8]}"
        self._stack = stack
        self.resize(size, context)

    def resize(self, size: int, context: int = 0) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"{size} {context}\n")
        fresh.replace(self.path)

    @property
    def accounts(self) -> list[Path]:
        return list(Path("/dev/shm").glob(f"agentcg-gpu-{self.path.name}-*"))

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.device.env,
            "LD_LIBRARY_PATH": str(SHIM),
            "AGENTCG_GPU_LEASE": str(self.path),
        }

    def tenant(self, form: str = "dlsym", **env: str) -> Tenant:
        words = [sys.executable, str(_TENANT), form, str(SHIM / "libcuda.so.1")]
        pipe, all_env = subprocess.PIPE, self.env | env
        process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=all_env)
        return self._stack.enter_context(Tenant(process))


@contextmanager
def leased(folder: Path, size: int, total: int = 1 << 40, context: int = 0) -> Iterator[Leased]:
    """So many bytes of a device."""
    with ExitStack() as stack:
        one = Leased(folder, stack, size, total, context)
        yield one
    for account in one.accounts:
        account.unlink()


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[Leased]:
    """Of QUOTA."""
    with leased(tmp_path, QUOTA) as one:
        yield one
