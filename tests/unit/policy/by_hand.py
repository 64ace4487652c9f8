"""The figures of a task computed another way: on a grid of milliseconds, from the files alone.

Nothing of agentcg is used here, so that the two can only agree by being right.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000
GRID = 1000  # of a second


@dataclass
class Work:
    """Rows (second, bytes) and calls (second, seconds, kind) of one file."""

    rows: Sequence[tuple[float, int]]
    calls: Sequence[tuple[float, float, str]] = ()


def container(path: Path) -> Work:
    """A file with a container's memory."""
    with path.open() as file:
        return Work([(float(r["second"]), int(r["megabytes"]) * MB) for r in csv.DictReader(file)])


def demo(path: Path) -> Work:
    """A file with calls and the shape of each; between them there is nothing."""
    rows: list[tuple[float, int]] = [(0.0, 0)]
    calls = []
    with path.open() as file:
        for row in csv.DictReader(file):
            start, seconds = float(row["start_s"]), float(row["seconds"])
            calls.append((start, seconds, row["class"]))
            for step in row["shape"].split():
                when, memory, _ = step.split(":")
                rows.append((start + float(when), int(memory) * MB))
            rows.append((start + seconds, 0))
    ordered = sorted({round(at, 3): held for at, held in rows}.items())
    return Work(ordered, calls)


def on_grid(work: Work) -> list[tuple[int, int, bool]]:
    """Of each millisecond: what is held, the most of the interval it is in, whether in a call."""
    found: list[tuple[int, int, bool]] = []
    for (a, held), (b, then) in zip(work.rows, work.rows[1:], strict=False):
        for tick in range(round(a * GRID), round(b * GRID)):
            middle = (tick + 0.5) / GRID
            inside = any(at <= middle < at + seconds for at, seconds, _ in work.calls)
            found.append((held, then, inside))
    return found


def mean(work: Work) -> float:
    grid = on_grid(work)
    return sum(held for held, _, _ in grid) / len(grid)


def seconds(work: Work, where: Callable[[int, int, bool], bool]) -> float:
    return sum(where(*tick) for tick in on_grid(work)) / GRID


def bursts(work: Work, height: int) -> list[float]:
    """Lengths of stretches whose intervals end above the height."""
    found, length = [], 0
    for _, then, _ in [*on_grid(work), (0, 0, False)]:
        if then > height:
            length += 1
        elif length:
            found.append(length / GRID)
            length = 0
    return found


def fastest(work: Work) -> tuple[float, float]:
    rates = [
        (then - held) / (b - a)
        for (a, held), (b, then) in zip(work.rows, work.rows[1:], strict=False)
    ]
    return max([0.0, *rates]), -min([0.0, *rates])


def retries(work: Work) -> list[int]:
    """Lengths of runs of one kind of three or more."""
    found: list[int] = []
    run, last = 0, ""
    for _, _, kind in [*sorted(work.calls), (0.0, 0.0, "")]:
        if kind == last:
            run += 1
            continue
        found += [run] if run >= 3 else []
        run, last = 1, kind
    return found
