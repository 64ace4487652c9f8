"""The fake libnvidia-ml.so.1 (nvml.c) under the unmodified nvidia-ml-py."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "build" / "gpu" / "libnvidia-ml.so.1"
STATE = "AGENTCG_FAKE_NVML"
GIB = 1 << 30
ONE = "GPU-1111"


@dataclass(frozen=True)
class Driver:
    """A driver that tells what it is told, in the lines that nvml.c documents."""

    file: Path

    def tell(self, *lines: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self.file)

    def one(self, *lines: str, before: tuple[str, ...] = (), used: int = 9 * GIB) -> None:
        """A GPU of 80 GiB of which 1 GiB is reserved, and more about it."""
        device = (f"gpu {ONE} NVIDIA H200", f"memory {80 * GIB} {GIB} {used}")
        self.tell("driver 615.71.09", *before, *device, *lines)

    @property
    def limits(self) -> list[str]:
        """All that were set, oldest first."""
        file = self.file.with_name(f"{self.file.name}.limits")
        return file.read_text().splitlines() if file.exists() else []


@contextmanager
def faked(folder: Path) -> Iterator[Driver]:
    # Whoever loads a library by a SONAME that is loaded already gets that one.
    ctypes.CDLL(str(LIBRARY))
    file = folder / "nvml"
    os.environ[STATE] = str(file)
    try:
        driver = Driver(file)
        driver.one()
        yield driver
    finally:
        del os.environ[STATE]


def inherited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A driver with one GPU, of the processes that are started from here on."""
    driver = Driver(folder / "nvml")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(LIBRARY.parent))
    monkeypatch.setenv(STATE, str(driver.file))
    driver.one()
    return driver
