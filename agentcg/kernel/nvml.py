"""NVIDIA's management library (NVML) by nvidia-ml-py: devices, their users, the driver's limits.

A call asks the driver and hangs as long as that does: make it in a thread that nothing else waits
for (control/bounded.py). Pids are those of the initial pid namespace, or what an older driver took
for that: believe them there only.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pynvml

from agentcg.errors import AgentcgError, DeniedError, UnavailableError, UnsupportedError
from agentcg.model.gpu import GpuProcess, GpuReading

_MAX = 2**64 - 1  # of a limit: none

# NVML's error: ours, and what to do about it.
_REMEDY: dict[int, tuple[type[AgentcgError], str]] = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        UnsupportedError,
        "libnvidia-ml.so.1 comes with NVIDIA's driver: install that, for GPUs of NVIDIA's",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        UnsupportedError,
        "load the kernel module (`modprobe nvidia`); dmesg tells why it does not load",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        UnsupportedError,
        "the driver was updated while its kernel module was loaded: reboot",
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (UnsupportedError, "a newer driver is needed"),
    pynvml.NVML_ERROR_NOT_SUPPORTED: (UnsupportedError, "this device or driver cannot do it"),
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH: (UnsupportedError, "another driver is needed"),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        DeniedError,
        "run as root, and let the device cgroup allow /dev/nvidia*",
    ),
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        UnavailableError,
        "it fell off the bus; look for Xid in dmesg, then reboot",
    ),
    pynvml.NVML_ERROR_RESET_REQUIRED: (
        UnavailableError,
        "end what uses it, then `nvidia-smi --gpu-reset`",
    ),
}
_OTHERWISE = (UnavailableError, "try `nvidia-smi`, and look into dmesg")
_LACKING = {pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND}


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """What the driver lets a cgroup have of a device: guaranteed, and at most (None: no limit)."""

    soft: int
    hard: int | None


UNLIMITED = MemoryLimits(0, None)


class Nvml:
    """The library, opened; threads may share it. All failures are AgentcgError, with a remedy."""

    troubles: tuple[str, ...] = ()  # what the last `read` left out, and why

    @classmethod
    def open(cls) -> Self:
        """Open it.

        Raises:
            UnsupportedError: there is no library, or no driver.
        """
        with _in_words("NVML"):
            pynvml.nvmlInit()
        return cls()

    def driver(self) -> str:
        """The version of the driver."""
        with _in_words("the driver's version"):
            return str(pynvml.nvmlSystemGetDriverVersion())

    def read(self) -> tuple[GpuReading, ...]:
        """Read all devices; one that is lost is in `troubles`, and does not take others with it."""
        with _in_words("the number of GPUs"):
            count = int(pynvml.nvmlDeviceGetCount())
        readings, troubles, at = [], [], time.time()
        for index in range(count):
            try:
                with _in_words(f"GPU {index}"):
                    readings.append(_reading(pynvml.nvmlDeviceGetHandleByIndex(index), at))
            except AgentcgError as error:
                troubles.append(error.message)
        self.troubles = tuple(troubles)
        return tuple(readings)

    def limits(self, uuid: str, cgroup: Path) -> MemoryLimits | None:
        """Return the limits of a cgroup; None where it has none, or the driver knows of none.

        Which of these two only `set_limits` and another look tell.
        """
        asked = pynvml.c_nvmlGetMemoryLimits_v1_t()
        asked.nameSpace = str(cgroup)
        with _in_words(f"the memory limits of {cgroup} on {uuid}"):
            device = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            try:
                pynvml.nvmlDeviceGetMemoryLimits_v1(device, asked)
            except pynvml.NVMLError as error:
                if error.value in {pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NOT_SUPPORTED}:
                    return None
                raise
        hard = int(asked.hardLimit)
        return MemoryLimits(int(asked.softLimit), None if hard == _MAX else hard)

    def set_limits(self, uuid: str, cgroup: Path, limits: MemoryLimits) -> None:
        """Have the driver hold what runs in the cgroup to its limits (R615 and newer)."""
        asked = pynvml.c_nvmlSetMemoryLimits_v1_t()
        asked.nameSpace = str(cgroup)
        asked.softLimit = limits.soft
        asked.hardLimit = _MAX if limits.hard is None else limits.hard
        with _in_words(f"setting memory limits of {cgroup} on {uuid}"):
            pynvml.nvmlDeviceSetMemoryLimits_v1(pynvml.nvmlDeviceGetHandleByUUID(uuid), asked)

    def close(self) -> None:
        """Close it; other openings stay."""
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except pynvml.NVMLError as error:
        kind, remedy = _REMEDY.get(error.value, _OTHERWISE)
        raise kind(f"{what}: {error}; {remedy}") from error


def _reading(device: Any, at: float) -> GpuReading:  # noqa: ANN401 - nvidia-ml-py has no types
    memory = pynvml.nvmlDeviceGetMemoryInfo(device, version=pynvml.nvmlMemory_v2)
    compute = _listed(pynvml.nvmlDeviceGetComputeRunningProcesses_v3, device)
    graphics = _listed(pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3, device)
    mps = _listed(pynvml.nvmlDeviceGetMPSComputeRunningProcesses_v3, device)
    # Each list has all that a process uses, so one that is in two is not to be added up.
    found: dict[int, int | None] = {}
    for listed in (compute, graphics, mps):
        for pid, used in (listed or {}).items():
            known = [one for one in (found.get(pid), used) if one is not None]
            found[pid] = max(known, default=None)
    return GpuReading(
        uuid=str(pynvml.nvmlDeviceGetUUID(device)),
        name=str(pynvml.nvmlDeviceGetName(device)),
        total=int(memory.total),
        used=int(memory.total - memory.free),
        free=int(memory.free),
        processes=tuple(GpuProcess(pid, used) for pid, used in sorted(found.items())),
        at=at,
        attributed=compute is not None,
    )


def _listed(
    ask: Callable[[Any], Iterable[Any]],
    device: Any,  # noqa: ANN401
) -> dict[int, int | None] | None:
    """What each process uses, by pid, None where that is unknown; None without such a list."""
    try:
        processes = ask(device)
    except pynvml.NVMLError as error:
        if error.value in _LACKING:
            return None
        raise
    found: dict[int, int | None] = {}
    for one in processes:
        # Once for each MIG instance that it uses.
        before, used = found.get(one.pid, 0), one.usedGpuMemory
        found[one.pid] = None if before is None or used is None else before + used
    return found
