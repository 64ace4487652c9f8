"""`make bench-kernel` in small: some seconds of two arms, and nothing about how fast they were."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentcg.errors import AgentcgError
from tests.bench.kernel import scenario
from tests.bench.kernel.ours import Switch
from tests.bench.kernel.replay import NONE, T1, replay
from tests.bench.kernel.stats import survived

pytestmark = pytest.mark.vm

POOL = 160  # MiB
SPEED = 5.0
DRAWN = scenario.draw(7, scenario.load(scenario.TRACES), POOL, SPEED)


@pytest.fixture(scope="module")
def tier() -> Iterator[Callable[[str], None]]:
    switch = Switch()
    yield switch.to
    switch.to("off")


def _states(row: dict[str, Any]) -> dict[str, str]:
    assert json.loads(json.dumps(row)) == row
    assert row["batches_us"]
    return {tenant["name"]: tenant["state"] for tenant in row["tenants"]}


def test_without_control_somebody_is_killed() -> None:
    # On a slow machine bursts may miss each other.
    assert any("killed" in _states(replay(NONE, DRAWN)).values() for _ in range(3))


def test_in_t1_nobody_is_killed_and_high_runs_through(tier: Callable[[str], None]) -> None:
    try:
        tier("T1")
    except AgentcgError as error:
        pytest.skip(error.message)
    row = replay(T1, DRAWN)
    assert _states(row)[DRAWN.high.name] == "done"
    assert all(survived(row, high=high) for high in (True, False))
    assert row["oom_kills"] == 0
