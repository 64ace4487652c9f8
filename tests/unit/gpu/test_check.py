"""`make gpu-check` where there is no GPU, and what it shows of one."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentcg.errors import UnavailableError
from agentcg.kernel.nvml import Nvml
from tests.gpu import check, trying
from tests.gpu.nvml import GIB, LIBRARY, ONE, STATE, Driver
from tests.gpu.shimmed import SHIM
from tests.gpu.takers import ASKED
from tests.gpu.tenants import LIBRARY as CUDA
from tests.gpu.tenants import Device
from tests.root.daemon import until


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device(tmp_path, 80 * GIB)
    for name, value in {**made.env, "LD_LIBRARY_PATH": str(CUDA.parent)}.items():
        monkeypatch.setenv(name, value)
    return made


def test_the_shim_is_tried(device: Device) -> None:
    refused, ways = trying.shim(ONE, SHIM)
    assert refused == "refused what is over the lease, as out of memory"
    assert ways == "cuGetProcAddress leads to it for 9 of 9 functions"
    assert 0 < device.peak <= ASKED


def test_the_shim_is_not_tried_without_a_driver(tmp_path: Path) -> None:
    (told,) = trying.shim(ONE, tmp_path)
    assert told.startswith("not tried: ")


def test_a_cache_that_makes_room_is_timed(device: Device, driver: Driver, nvml: Nvml) -> None:
    driver.one(used=20 * GIB)
    lines = trying.pool(nvml, ONE)
    assert re.fullmatch(r"mapped 4 GiB at [0-9.]+ GiB/s", next(lines))
    assert device.used == trying.POOL
    requests = r"P50 [0-9.]+ ms, P99 [0-9.]+ ms"
    assert re.fullmatch(rf"requests by themselves: \d+, {requests}", next(lines))

    def freed() -> None:
        until(lambda: device.used == trying.POOL - trying.PART, "the cache to make room")
        driver.one(used=19 * GIB)

    thread = threading.Thread(target=freed)
    thread.start()
    assert re.fullmatch(r"gave back 1 GiB at .*; NVML tells it free \d+ ms .*", next(lines))
    thread.join()
    assert next(lines).startswith("requests meanwhile: ")
    assert re.fullmatch(rf"requests beside who has it: \d+, {requests}", next(lines))
    assert next(lines).startswith("mapped again 1 GiB")
    assert next(lines).startswith("requests meanwhile: ")
    assert list(lines) == []
    assert device.used == trying.POOL + trying.PART  # a killed tenant's, here, stays counted


@pytest.mark.usefixtures("device")
def test_requests_that_fail_are_told(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "POOL", 0)
    lines = trying.pool(nvml, ONE)
    next(lines)
    with pytest.raises(UnavailableError, match="requests failed"):
        next(lines)


def test_without_a_gpu() -> None:
    env = {key: value for key, value in os.environ.items() if key != STATE}
    env["LD_LIBRARY_PATH"] = str(LIBRARY.parent)
    words = [sys.executable, "-m", "tests.gpu.check"]
    told = subprocess.run(words, env=env, capture_output=True, check=True, text=True).stdout
    assert told.startswith("no GPU here")


def test_a_device_is_shown(driver: Driver, nvml: Nvml, capsys: pytest.CaptureFixture[str]) -> None:
    driver.one(f"compute {os.getpid()} -", "compute 999999999 5")
    check.show(*nvml.read())
    device, process = capsys.readouterr().out.splitlines()
    assert device == f"{ONE} NVIDIA H200: 10 GiB of 80 GiB used"
    assert process.startswith(f"  {os.getpid()} unknown '/")
