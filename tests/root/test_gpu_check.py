"""What `make gpu-check` does of the uprobes, with libraries that stand for the driver's."""

import re
from pathlib import Path
from typing import Any

import pytest

from agentcg.gpu import libcuda
from agentcg.kernel.cgroupfs import CgroupDir
from tests.gpu import trying
from tests.gpu.takers import ASKED
from tests.gpu.tenants import LIBRARY, Device

pytestmark = pytest.mark.root
GIB = 1 << 30


def test_the_account_and_the_gate_are_tried(
    cgroup_root: CgroupDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, 80 * GIB)
    for name, value in {**device.env, "LD_LIBRARY_PATH": str(LIBRARY.parent)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(libcuda, "installed", lambda: [LIBRARY])
    monkeypatch.setattr(trying, "use", lambda *_: device.used)
    nvml: Any = None
    first, *others = trying.uprobe(nvml, cgroup_root, "GPU-1")
    if first.startswith("not tried: "):
        pytest.skip(first)
    words = "asked 512 MiB, counted 512 MiB, NVML tells 512 MiB more"
    assert first.endswith(words)
    waits, goes = others
    assert re.fullmatch(r"asked 1 GiB over its lease, and waits after \d+ ms", waits)
    assert re.fullmatch(r"went on with a larger lease in \d+ ms", goes)
    assert device.peak == 3 * ASKED
