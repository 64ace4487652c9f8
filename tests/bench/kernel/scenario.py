"""One run's tenants: which traces they replay, when they start, how far memory is scaled. Pure.

The high tenant grows while the low ones are at their height, and memory is scaled by one factor so
that the largest demand of all at once is `DEMAND` times the pool. All of it follows from the seed.
"""

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TRACES = Path(__file__).parent / "traces"
DEMAND = 1.15
# The contest is for memory: four tenants that want 3 CPUs at most times share half of one.
CPU = 0.15

_LATEST = 6.0  # seconds; nobody starts later
_PLATEAU = 0.85  # of their largest sum, what the low ones want while the high one is at its peak
_AROUND = (-1, 4)  # seconds of that: a machine that is slower than planned shall not miss it
_TRIES = 10_000
_PROGRAM = 8
_GRID = 10  # readings a second
_MIB = 1 << 20


@dataclass(frozen=True)
class Point:
    """From then on: seconds since the start, decimal megabytes, percent of a CPU."""

    second: float
    megabytes: float
    percent: float


@dataclass(frozen=True)
class Trace:
    """What a tenant wants, in its own time and size."""

    name: str
    points: Sequence[Point]

    @property
    def seconds(self) -> float:
        return self.points[-1].second + 1

    @property
    def peak(self) -> float:
        return max(point.megabytes for point in self.points)

    def wants(self, second: float) -> float:
        """Megabytes at that time; none before its start and after its end."""
        if not 0 <= second < self.seconds:
            return 0
        return [p.megabytes for p in self.points if p.second <= second][-1]


@dataclass(frozen=True)
class Tenant:
    """A trace with its place in the run: when it starts, and the factors that it is scaled by."""

    trace: Trace
    start: float
    memory: float
    speed: float

    @property
    def name(self) -> str:
        return self.trace.name

    @property
    def high(self) -> bool:
        return self.name.startswith("high")

    @property
    def seconds(self) -> float:
        return self.trace.seconds / self.speed

    @property
    def peak(self) -> int:
        """MiB."""
        return self._mib(self.trace.peak)

    @property
    def needs(self) -> int:
        """MiB: the peak, and room for the program itself and for the kernel's part of it."""
        return self.peak + _PROGRAM

    def wants(self, second: float) -> int:
        """MiB, so many seconds after the run's begin."""
        return self._mib(self.trace.wants((second - self.start) * self.speed))

    @property
    def schedule(self) -> str:
        """The toucher's input."""
        lines = [
            f"{p.second / self.speed * 1000:.0f} {self._mib(p.megabytes)} "
            f"{min(100, p.percent * CPU):.0f}\n"
            for p in self.trace.points
        ]
        return "".join(lines) + f"{self.seconds * 1000:.0f} 0 0\n"

    def _mib(self, megabytes: float) -> int:
        return round(megabytes * 1e6 * self.memory / _MIB)


@dataclass(frozen=True)
class Scenario:
    """One run; the same for every arm."""

    seed: int
    pool: int  # MiB
    high: Tenant
    low: Sequence[Tenant]

    @property
    def tenants(self) -> Sequence[Tenant]:
        return (self.high, *self.low)

    @property
    def seconds(self) -> float:
        """How long it takes where nobody is held up."""
        return max(tenant.start + tenant.seconds for tenant in self.tenants)


def load(folder: Path) -> list[Trace]:
    """Read a folder's traces."""
    return [_trace(path) for path in sorted(folder.glob("*.csv"))]


def draw(seed: int, traces: Sequence[Trace], pool: int, speed: float = 1.0) -> Scenario:
    """Make the run of a seed; `pool` in MiB, `speed` how much faster than the traces it goes."""
    rng = random.Random(seed)
    lows = [trace for trace in traces if trace.name.startswith("low")]
    high = rng.choice([trace for trace in traces if trace.name.startswith("high")])
    starts = _starts(rng, high, lows)
    demand = max(demands((high, *lows), starts))
    memory = DEMAND * pool * _MIB / (demand * 1e6)
    tenants = [
        Tenant(trace, start / speed, memory, speed)
        for trace, start in zip((high, *lows), starts, strict=True)
    ]
    return Scenario(seed, pool, tenants[0], tenants[1:])


def demands(traces: Sequence[Trace], starts: Sequence[float]) -> list[float]:
    """What all want together, in megabytes, at a grid of times."""
    end = max(start + trace.seconds for trace, start in zip(traces, starts, strict=True))
    return [
        sum(trace.wants(at / _GRID - start) for trace, start in zip(traces, starts, strict=True))
        for at in range(int(end * _GRID) + 1)
    ]


def _starts(rng: random.Random, high: Trace, lows: Sequence[Trace]) -> list[float]:
    """Draw until the low ones are at their height when the high one is at its own."""
    peak = next(point.second for point in high.points if point.megabytes == high.peak)
    for _ in range(_TRIES):
        starts = [round(rng.uniform(0, _LATEST), 1) for _ in range(1 + len(lows))]
        most = max(demands(lows, starts[1:]))
        then = [
            sum(
                trace.wants(starts[0] + peak + off - start)
                for trace, start in zip(lows, starts[1:], strict=True)
            )
            for off in range(*_AROUND)
        ]
        if min(then) >= _PLATEAU * most:
            first = min(starts)
            return [start - first for start in starts]
    raise ValueError(f"no start offsets bring {high.name}'s peak onto a plateau of the low ones")


def _trace(path: Path) -> Trace:
    with path.open(encoding="ascii", newline="") as file:
        rows = [
            Point(float(row["second"]), float(row["megabytes"]), float(row["cpu_percent"]))
            for row in csv.DictReader(file)
        ]
    return Trace(path.stem, rows)
