"""One run: starts the tenants at their times, watches the pool, and says what became of each."""

import bisect
import contextlib
import dataclasses
import math
import mmap
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.kernel.ours import sessions
from tests.bench.kernel.peers import ROOM, Home, bare
from tests.bench.kernel.scenario import Scenario, Tenant
from vm_tests.guest.sandbox import MIB, field, number

ALONE, NONE, T0, T1 = "alone", "none", "agentcg T0", "agentcg T1"
ARMS = (ALONE, ROOM, NONE, "container limit", "memory.high", "PSI loop", T0, T1)
TIER = {T0: "T0", T1: "T1"}  # what an arm needs of the daemon; the others need it out of the way

TOUCHER = Path(__file__).parents[3] / "build/demo/toucher"

_LOGS = Path("/run/agentcg-bench")
_LOG_SIZE = 1 << 20
_TICK = 0.02
_CURVE = 0.5  # seconds between two readings of the tenants, for the picture
_GRACE = 2.5  # times what is planned: so long may a run take
_FULL = 0.9  # of the pool: a batch charged above is one under pressure


@dataclass
class _Run:
    """A tenant at work. Times are of CLOCK_MONOTONIC; `state` is done, killed or late."""

    tenant: Tenant
    home: Home
    log: mmap.mmap
    path: Path
    process: "subprocess.Popen[str] | None" = None
    begun: float = 0.0
    ended: float = 0.0
    state: str = ""
    at_high_end: float = 0.0

    def start(self) -> None:
        self.begun = time.monotonic()
        self.process = self.home.start([str(TOUCHER), "own", str(self.path)])
        assert self.process.stdin is not None
        self.process.stdin.write(self.tenant.schedule)
        self.process.stdin.close()

    @property
    def done(self) -> float:
        """Seconds of its schedule that are behind it."""
        return float(struct.unpack_from("<Q", self.log, 8)[0]) / 1e9

    def batches(self) -> list[tuple[float, int, int]]:
        """When each was begun (s), what it took and what arithmetic took beside it (ns)."""
        (count,) = struct.unpack_from("<Q", self.log)
        found = struct.iter_unpack("<QQQ", self.log[16 : 16 + 24 * count])
        return [(at / 1e9, took, pace) for at, took, pace in found]


@dataclass
class _Watch:
    """What the pool held, at a grid of times."""

    pool: Path
    runs: list[_Run]
    at: list[float] = dataclasses.field(default_factory=list)
    used: list[int] = dataclasses.field(default_factory=list)
    curve: list[list[float]] = dataclasses.field(default_factory=list)

    def look(self, since: float) -> None:
        now = time.monotonic()
        self.at.append(now)
        self.used.append(number(self.pool / "memory.current"))
        if now - since >= _CURVE * len(self.curve):
            each = [number(run.home.cgroup / "memory.current") // MIB for run in self.runs]
            self.curve.append([round(now - since, 2), *each])

    def tight(self, run: _Run, size: int) -> float:
        """The part of a tenant's batches charged with a full pool, until a kill made room."""
        first = min((one.ended for one in self.runs if one.state == "killed"), default=math.inf)
        above = [self._then(at) > _FULL * size for at, _, _ in run.batches() if at < first]
        return sum(above) / max(1, len(above))

    def _then(self, at: float) -> float:
        """What the pool held at a time between two readings, which may be 30 MiB apart."""
        after = min(bisect.bisect_right(self.at, at), len(self.at) - 1)
        before = max(0, after - 1)
        passed = self.at[after] - self.at[before]
        part = min(1.0, max(0.0, (at - self.at[before]) / passed)) if passed else 1.0
        return self.used[before] + part * (self.used[after] - self.used[before])


def replay(arm: str, scenario: Scenario) -> dict[str, Any]:
    """Run a scenario under an arm; returns its row."""
    tenants = [scenario.high] if arm == ALONE else list(scenario.tenants)
    _LOGS.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        world = sessions(scenario) if arm in TIER else bare(arm, scenario)
        pool, homes = stack.enter_context(world)
        runs = [_prepare(stack, tenant, homes[tenant.name]) for tenant in tenants]
        watch = _Watch(pool, runs)
        kills = _kills(pool)
        begin = time.monotonic()
        try:
            _follow(runs, watch, begin, _GRACE * scenario.seconds)
        finally:
            for run in runs:
                _end(run)
        return {
            "seed": scenario.seed,
            "arm": arm,
            "pool": scenario.pool,
            "trace": scenario.high.name,
            "oom_kills": _kills(pool) - kills,
            "most": round(max(watch.used) / MIB, 1),
            "tight": round(watch.tight(runs[0], scenario.pool * MIB), 3),
            "tenants": [_row(run, begin) for run in runs],
            "batches_us": [round(took / 1e3) for _, took, _ in runs[0].batches()],
            "paces_ns": [pace for _, _, pace in runs[0].batches()],
            "curve": watch.curve,
        }


def _follow(runs: list[_Run], watch: _Watch, begin: float, longest: float) -> None:
    high = runs[0]
    while not all(run.state for run in runs):
        now = time.monotonic()
        for run in runs:
            if run.process is None and now - begin >= run.tenant.start:
                run.start()
            elif run.process is not None and not run.state:
                ended = _ended(run, now, late=now - begin > longest)
                if run is high and ended:
                    for other in runs:
                        other.at_high_end = other.done
        watch.look(begin)
        time.sleep(_TICK)


def _ended(run: _Run, now: float, *, late: bool) -> bool:
    assert run.process is not None
    status = run.process.poll()
    if status is not None:
        if status not in {0, -9}:
            raise RuntimeError(f"{run.tenant.name} ended with status {status}")
        run.state, run.ended = "killed" if status else "done", now
    elif late:
        run.state, run.ended = "late", now
    return bool(run.state)


def _end(run: _Run) -> None:
    if run.process is not None:
        run.process.kill()
        run.process.wait()


def _row(run: _Run, begin: float) -> dict[str, Any]:
    return {
        "name": run.tenant.name,
        "state": run.state,
        "planned": round(run.tenant.seconds, 2),
        "start": round(run.begun - begin, 2),
        "seconds": round(run.ended - run.begun, 2),
        "done": round(run.done, 2),
        "at_high_end": round(run.at_high_end, 2),
        "peak": run.tenant.peak,
    }


def _prepare(stack: contextlib.ExitStack, tenant: Tenant, home: Home) -> _Run:
    """Its log's pages are there before it starts, so that they are not charged to it."""
    path = _LOGS / tenant.name
    path.write_bytes(bytes(_LOG_SIZE))
    stack.callback(path.unlink)
    with path.open("r+b") as file:
        log = stack.enter_context(contextlib.closing(mmap.mmap(file.fileno(), 0)))
    return _Run(tenant, home, log, path)


def _kills(pool: Path) -> int:
    return field(pool / "memory.events", "oom_kill")
