"""Trigger specifications; the events themselves need a kernel (tests/root)."""

from pathlib import Path

import pytest

from agentcg.errors import BadValueError, UnsupportedError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.psi import Trigger


@pytest.mark.parametrize(
    ("stall_us", "window_us"),
    [(0, 2_000_000), (3_000_000, 2_000_000), (1, 100_000), (1, 20_000_000)],
)
def test_refuses_what_the_kernel_would(tmp_path: Path, stall_us: int, window_us: int) -> None:
    with CgroupDir.open(tmp_path) as cgroup, pytest.raises(BadValueError, match=str(stall_us)):
        Trigger.on(cgroup, "memory.pressure", stall_us=stall_us, window_us=window_us)


def test_host_without_psi(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="CONFIG_PSI"):
        Trigger.on_host("memory", stall_us=150_000, window_us=2_000_000, pressure=tmp_path)


async def test_host_trigger() -> None:
    if not Path("/proc/pressure/memory").exists():
        pytest.skip("no PSI in this kernel")
    try:
        trigger = Trigger.on_host("memory", stall_us=2_000_000, window_us=2_000_000)
    except UnsupportedError as error:
        pytest.skip(error.message)
    trigger.close()
    trigger.close()
    with pytest.raises(StopAsyncIteration):
        await anext(trigger)
