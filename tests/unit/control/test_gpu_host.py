"""A reading is held against the leases, and against the probes' account."""

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from agentcg.control.gpu_host import Watched
from agentcg.gpu.overuse import Act, Share
from agentcg.gpu.watchdog import Finding


@pytest.mark.parametrize("attributed", [True, False])
def test_what_the_driver_tells_of_leaves_corrects_the_account_of_the_probes(
    attributed: bool,
) -> None:
    readings: Any = (SimpleNamespace(attributed=attributed),)
    finding = Finding(Share(7, "GPU-1", known=3), Act.NONE)
    device: Any = SimpleNamespace(read=lambda: readings)
    dog: Any = SimpleNamespace(look=lambda readings, now: (finding,))
    told: list[dict[int, int]] = []
    heard: list[Finding] = []
    asked = time.monotonic()

    def correct(uses: Mapping[int, int], begun: float) -> None:
        assert begun >= asked
        told.append(dict(uses))

    assert Watched(device, dog, time.time, heard.append, correct).read() == readings
    assert told == ([{7: 3}] if attributed else [])
    assert heard == [finding]
