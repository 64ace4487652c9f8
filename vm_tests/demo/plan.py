"""Who runs in the demo, what each replays, and how far the traces are scaled down."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TRACES = Path(__file__).parent / "traces"

MEMORY = 0.2  # one factor for all memory: gigabyte bursts fit a small machine
SPEED = 2.0  # traces run that much faster
CPU = 0.6  # three agents that want 1.5 CPUs at most times share one

AGENT_MIB = 36  # what the agents' own programs held in the traces (about 185 MB), scaled
_MIB = 1 << 20
_ROUND = 16  # declarations are multiples of that many MiB


@dataclass(frozen=True)
class Point:
    """From then on: milliseconds since the call's start, MiB, percent of a CPU; scaled."""

    at: int
    mib: int
    cpu: int


@dataclass(frozen=True)
class Step:
    """One tool call; seconds since the start and MiB, scaled. `limit` is what it declares."""

    number: int
    start: float
    seconds: float
    tool: str
    command_class: str
    peak: int
    limit: int
    points: Sequence[Point]

    @property
    def holds(self) -> str:
        """What the toucher fills: a test's memory is its own, all else counts as pages of files."""
        return "own" if self.command_class == "test" else "files"

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it will use."""
        ends = [point.at for point in self.points[1:]] + [self.seconds * 1000]
        pairs = zip(self.points, ends, strict=True)
        return sum((end - point.at) * point.cpu for point, end in pairs) / 1e5

    @property
    def schedule(self) -> str:
        """The toucher's input."""
        end = Point(round(self.seconds * 1000), 0, 0)
        return "".join(f"{p.at} {p.mib} {p.cpu}\n" for p in (*self.points, end))

    @property
    def cpu_class(self) -> str:
        """What an agent would declare: long runs can wait, short questions cannot."""
        if self.seconds < 2:
            return "interactive"
        return "batch" if self.command_class in {"test", "install"} else "normal"


@dataclass(frozen=True)
class Tenant:
    """One agent: its session, and the trace that it replays.

    It `comes` so many seconds after the first. `memory` and `guarantee` are MiB, `weight` is its
    cpu.weight against the other sessions; `declares` has, in MiB, the calls that declare something
    else than what they will need.
    """

    name: str
    priority: int
    memory: int
    comes: float = 0
    weight: int = 100
    guarantee: int = 0
    declares: Mapping[int, int] = field(default_factory=dict)

    @property
    def session(self) -> str:
        """The session's name, and its container's."""
        return f"demo-{self.name}"

    def steps(self) -> list[Step]:
        """Read its trace."""
        with (TRACES / f"{self.name}.csv").open(encoding="ascii", newline="") as file:
            rows = list(csv.DictReader(file))
        return [self._step(number, row) for number, row in enumerate(rows, 1)]

    def _step(self, number: int, row: Mapping[str, str]) -> Step:
        points = [_point(text) for text in row["shape"].split()]
        peak = max(point.mib for point in points)
        return Step(
            number=number,
            start=self.comes + float(row["start_s"]) / SPEED,
            seconds=float(row["seconds"]) / SPEED,
            tool=row["tool"],
            command_class=row["class"],
            peak=peak,
            limit=self.declares.get(number, _generous(peak)),
            points=points,
        )


# The second test run of `sqlglot` declares what its first one needed and a twentieth more, as an
# agent that learns from history would: 1372 MB of the trace are 262 MiB here. It needs 360 MiB.
# The third asks for what the advice said, and gets what its session has. `timeseries` comes when
# the others are at work: its memory is at its height when the second test run needs room.
TENANTS = (
    Tenant("timeseries", priority=50, memory=320, comes=12, weight=400, guarantee=128),
    Tenant("sqlglot", priority=0, memory=480, declares={3: 272, 7: 544}),
    Tenant("dask", priority=0, memory=420),
)


def _generous(peak: int) -> int:
    """A quarter more than the peak, and room for the program itself."""
    return (int(peak * 1.25) + 2 * _ROUND) // _ROUND * _ROUND


def _point(text: str) -> Point:
    second, megabytes, percent = text.split(":")
    return Point(
        at=round(float(second) * 1000 / SPEED),
        mib=round(float(megabytes) * 1e6 * MEMORY / _MIB),
        cpu=min(100, round(float(percent) * CPU)),
    )
