"""`make gpu-check` where there is no GPU, and what it shows of one."""

import os
import subprocess
import sys

import pytest

from agentcg.kernel.nvml import Nvml
from tests.gpu import check
from tests.gpu.nvml import LIBRARY, ONE, STATE, Driver


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
