"""Ways to share the pool without agentcg: bare cgroups, and what an operator could write into them.

Every peer knows what the daemon is told: which tenant is high, and what each will need at most.
"""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.kernel.scenario import Scenario, Tenant
from vm_tests.guest.sandbox import ENTER, MIB, number

CGROUPS = Path("/sys/fs/cgroup")
POOL = CGROUPS / "agentcg-bench"

ROOM = "room for all"  # without control and without need of it: what neighbours cost by themselves

_SHARED = 0.85  # of the pool; governor.share
_PERIOD = 0.05
_TIGHT = 0.85  # of the pool: from here on the loop holds
_STALLED = 0.1  # of a period in which some task waited for memory: the same
_CALM = 1.0  # seconds without either until it lets go


@dataclass(frozen=True)
class Home:
    """One tenant's cgroup, and how to start a program in it with a pipe to its stdin."""

    cgroup: Path
    start: "Callable[[Sequence[str]], subprocess.Popen[str]]"


@contextlib.contextmanager
def bare(arm: str, scenario: Scenario) -> Iterator[tuple[Path, dict[str, Home]]]:
    """Make the pool and the tenants' cgroups, with an arm's limits."""
    POOL.mkdir()
    places = {tenant.name: POOL / tenant.name for tenant in scenario.tenants}
    homes = {name: Home(place, partial(_start, place)) for name, place in places.items()}
    try:
        size = 2 * scenario.pool if arm == ROOM else scenario.pool
        (POOL / "memory.max").write_text(str(size * MIB))
        (POOL / "cgroup.subtree_control").write_text("+memory")
        for home in homes.values():
            home.cgroup.mkdir()
        with _limits(arm, scenario, homes):
            yield POOL, homes
    finally:
        for home in homes.values():
            home.cgroup.rmdir()
        POOL.rmdir()


def _start(place: Path, argv: Sequence[str]) -> "subprocess.Popen[str]":
    words = ["sh", "-c", ENTER, str(place), *argv]
    return subprocess.Popen(words, stdin=subprocess.PIPE, text=True)


@contextlib.contextmanager
def _limits(arm: str, scenario: Scenario, homes: dict[str, Home]) -> Iterator[None]:
    high = homes[scenario.high.name].cgroup
    if arm == "container limit":
        # Shares of the pool by what each wants at most.
        _split("memory.max", scenario.pool, scenario.tenants, homes)
    if arm in {"memory.high", "PSI loop"}:
        (high / "memory.low").write_text(str(scenario.high.needs * MIB))
    if arm == "memory.high":
        # The low ones share what the high one leaves of as much as the daemon gives out, so that
        # there is room for what they creep beyond.
        left = int(_SHARED * scenario.pool) - scenario.high.needs
        _split("memory.high", left, scenario.low, homes)
    if arm != "PSI loop":
        yield
        return
    done = threading.Event()
    loop = threading.Thread(target=_loop, args=(scenario, homes, done))
    loop.start()
    try:
        yield
    finally:
        done.set()
        loop.join()


def _split(knob: str, mib: int, tenants: Sequence[Tenant], homes: dict[str, Home]) -> None:
    total = sum(tenant.needs for tenant in tenants)
    for tenant in tenants:
        share = mib * MIB * tenant.needs // total
        (homes[tenant.name].cgroup / knob).write_text(str(share))


def _loop(scenario: Scenario, homes: dict[str, Home], done: threading.Event) -> None:
    """The user-space controller: when the pool gets tight the low ones may not grow any more."""
    lows = [homes[tenant.name].cgroup for tenant in scenario.low]
    tight = int(_TIGHT * scenario.pool * MIB)
    waited, holding, seen = stalled(POOL), False, 0.0
    while not done.wait(_PERIOD):
        before, waited = waited, stalled(POOL)
        now = time.monotonic()
        if number(POOL / "memory.current") >= tight or waited - before > _STALLED * _PERIOD:
            seen = now
            for low in () if holding else lows:
                (low / "memory.high").write_text(str(number(low / "memory.current")))
            holding = True
        elif holding and now - seen > _CALM:
            for low in lows:
                (low / "memory.high").write_text("max")
            holding = False


def stalled(pool: Path) -> float:
    """Seconds in which some task of a pool waited for memory."""
    return int((pool / "memory.pressure").read_text().split()[4].removeprefix("total=")) / 1e6
