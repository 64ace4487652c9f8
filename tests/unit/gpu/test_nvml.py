"""kernel/nvml.py and nvidia-ml-py on a library that tells what a test wants it to."""

import os
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest

from agentcg.errors import AgentcgError, DeniedError, UnavailableError, UnsupportedError
from agentcg.kernel.nvml import UNLIMITED, MemoryLimits, Nvml
from agentcg.model.gpu import GpuProcess
from tests.gpu.nvml import GIB, LIBRARY, ONE, STATE, Driver

TELL = """
from agentcg.errors import AgentcgError
from agentcg.kernel.nvml import Nvml
try:
    print(Nvml.open().read())
except AgentcgError as e:
    print(e.slug, e.message)
"""


def test_a_device_and_its_memory(nvml: Nvml) -> None:
    (reading,) = nvml.read()
    assert (reading.uuid, reading.name) == (ONE, "NVIDIA H200")
    # What the driver keeps is not free either.
    assert (reading.total, reading.used, reading.free) == (80 * GIB, 10 * GIB, 70 * GIB)
    assert (reading.processes, reading.attributed, nvml.troubles) == ((), True, ())
    assert nvml.driver() == "615.71.09"


def test_who_uses_it(driver: Driver, nvml: Nvml) -> None:
    driver.one(
        "compute 20 5000",
        "compute 30 -",
        "compute 40 100 1",  # two MIG instances
        "compute 40 200 2",
        "compute 50 100 1",
        "compute 50 - 2",
        "graphics 20 5000",  # in both lists with all it uses
        "graphics 30 7",
        "mps 10 0",
    )
    (reading,) = nvml.read()
    used = {20: 5000, 30: 7, 40: 300, 50: None, 10: 0}
    assert reading.processes == tuple(GpuProcess(pid, used[pid]) for pid in sorted(used))


def test_many_processes(driver: Driver, nvml: Nvml) -> None:
    driver.one(*(f"compute {pid} {pid}" for pid in range(1, 60)))
    (reading,) = nvml.read()
    assert [one.pid for one in reading.processes] == list(range(1, 60))


@pytest.mark.parametrize("kind", ["Graphics", "MPSCompute"])
def test_a_list_that_a_driver_lacks(driver: Driver, nvml: Nvml, kind: str) -> None:
    driver.one(
        "compute 5 9",
        f"fail nvmlDeviceGet{kind}RunningProcesses_v3 {pynvml.NVML_ERROR_NOT_SUPPORTED}",
    )
    (reading,) = nvml.read()
    assert (reading.processes, reading.attributed) == ((GpuProcess(5, 9),), True)


def test_a_device_that_does_not_tell_who_uses_it(driver: Driver, nvml: Nvml) -> None:
    code = pynvml.NVML_ERROR_NOT_SUPPORTED
    driver.one(f"fail nvmlDeviceGetComputeRunningProcesses_v3 {code}")
    (reading,) = nvml.read()
    assert (reading.processes, reading.attributed) == ((), False)


def test_a_lost_device_does_not_hide_the_others(driver: Driver, nvml: Nvml) -> None:
    driver.tell(
        "gpu GPU-lost A",
        f"fail nvmlDeviceGetMemoryInfo_v2 {pynvml.NVML_ERROR_GPU_IS_LOST}",
        "gpu GPU-well B",
        "memory 10 0 4",
    )
    assert [one.uuid for one in nvml.read()] == ["GPU-well"]
    (trouble,) = nvml.troubles
    assert "GPU 0" in trouble
    assert "reboot" in trouble


@pytest.mark.parametrize(
    ("code", "kind", "remedy"),
    [
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, UnsupportedError, "modprobe"),
        (pynvml.NVML_ERROR_NO_PERMISSION, DeniedError, "root"),
        (pynvml.NVML_ERROR_GPU_IS_LOST, UnavailableError, "Xid"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, UnsupportedError, "reboot"),
        (777, UnavailableError, "an error of the fake's"),
    ],
)
def test_errors_have_a_remedy(
    driver: Driver, nvml: Nvml, code: int, kind: type[AgentcgError], remedy: str
) -> None:
    driver.one(before=(f"fail nvmlDeviceGetCount_v2 {code}",))
    with pytest.raises(kind, match=remedy):
        nvml.read()


def test_limits_are_what_was_set(driver: Driver, nvml: Nvml) -> None:
    driver.one(before=("limits",))
    leaf = Path("/sys/fs/cgroup/a b")
    assert nvml.limits(ONE, leaf) is None
    nvml.set_limits(ONE, leaf, MemoryLimits(3 * GIB, 3 * GIB))
    assert nvml.limits(ONE, leaf) == MemoryLimits(3 * GIB, 3 * GIB)
    nvml.set_limits(ONE, leaf, UNLIMITED)
    assert nvml.limits(ONE, leaf) == UNLIMITED
    assert driver.limits[-1] == f"{ONE} 0 {2**64 - 1} /sys/fs/cgroup/a b"


def test_a_driver_without_limits(nvml: Nvml) -> None:
    assert nvml.limits(ONE, Path("/x")) is None
    with pytest.raises(UnsupportedError, match="/x"):
        nvml.set_limits(ONE, Path("/x"), UNLIMITED)


def told_by_another_process(**environ: str) -> str:
    words = [sys.executable, "-c", TELL]
    env = {key: value for key, value in os.environ.items() if key != STATE} | environ
    return subprocess.run(words, env=env, capture_output=True, check=True, text=True).stdout


def test_found_as_a_host_s_library_is(driver: Driver) -> None:
    told = told_by_another_process(
        LD_LIBRARY_PATH=str(LIBRARY.parent), AGENTCG_FAKE_NVML=str(driver.file)
    )
    assert "NVIDIA H200" in told


def test_without_a_driver() -> None:
    told = told_by_another_process(LD_LIBRARY_PATH=str(LIBRARY.parent))
    assert told.startswith("unsupported NVML: Driver Not Loaded")
