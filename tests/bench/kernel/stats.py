"""What the rows of a bench say: survival, latency with its confidence, work done. Pure."""

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

RESAMPLES = 1000
COUNTS = 0.2  # of the high tenant's batches, without control, have to meet a full pool
GOAL = 1.2  # of what a batch takes alone, at P95
STEADY = 1.2  # of what arithmetic takes on a CPU that the host lends in full


@dataclass(frozen=True)
class Interval:
    """A figure, and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float


def counted(rows: Sequence[Row]) -> list[int]:
    """The seeds whose run puts the high tenant under pressure if nobody controls anything."""
    return sorted(r["seed"] for r in rows if r["arm"] == "none" and r["tight"] >= COUNTS)


def steady(rows: Sequence[Row]) -> list[Row]:
    """The rows with those batches alone that met a CPU at full speed, before and after.

    A virtual CPU of a shared host has half a core from time to time, whoever runs in it. What that
    makes of a batch is not an arm's doing, and arithmetic, which waits for no memory, tells it.
    """
    paces = sorted(pace for row in rows for pace in row["paces_ns"])
    most = STEADY * quantile(paces, 0.05)
    return [{**row, "batches_us": _below(row, most)} for row in rows]


def _below(row: Row, most: float) -> list[int]:
    both = zip(row["batches_us"], row["paces_ns"], strict=True)
    return [took for took, pace in both if pace <= most]


def arm(rows: Sequence[Row], name: str, seeds: Sequence[int]) -> dict[int, Row]:
    """An arm's rows of those seeds."""
    return {r["seed"]: r for r in rows if r["arm"] == name and r["seed"] in set(seeds)}


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that so large a part of them does not exceed; `values` sorted."""
    return values[max(0, math.ceil(part * len(values)) - 1)]


def latency(rows: Mapping[int, Row], part: float) -> Interval:
    """A quantile of the high tenant's batches, pooled, in milliseconds; resampled by runs."""
    pool = _Pool({seed: row["batches_us"] for seed, row in rows.items()})

    def of(seeds: Sequence[int]) -> float:
        return pool.quantile(part, seeds) / 1e3

    return resampled(sorted(rows), of)


def ratio(rows: Mapping[int, Row], base: Mapping[int, Row], part: float) -> Interval:
    """The same over that of a base; by the runs that both have."""
    seeds = sorted(rows.keys() & base.keys())
    ours = _Pool({seed: rows[seed]["batches_us"] for seed in seeds})
    theirs = _Pool({seed: base[seed]["batches_us"] for seed in seeds})

    def of(chosen: Sequence[int]) -> float:
        return ours.quantile(part, chosen) / theirs.quantile(part, chosen)

    return resampled(seeds, of)


def resampled(seeds: Sequence[int], of: Callable[[Sequence[int]], float]) -> Interval:
    """Bootstrap: the figure of as many runs, drawn with replacement, over and over."""
    rng = random.Random(0)
    found = sorted(of(rng.choices(seeds, k=len(seeds))) for _ in range(RESAMPLES))
    return Interval(of(seeds), quantile(found, 0.025), quantile(found, 0.975))


def proportion(hits: int, of: int) -> Interval:
    """A share with Wilson's interval, which holds for few runs and at the ends."""
    z = 1.96
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def survived(row: Row, *, high: bool) -> bool:
    """Whether nobody of that kind was killed."""
    return not any(t["state"] == "killed" for t in tenants(row, high=high))


def tenants(row: Row, *, high: bool) -> list[Mapping[str, Any]]:
    return [t for t in row["tenants"] if t["name"].startswith("high") == high]


def finished(row: Row, *, high: bool) -> float:
    """The share of them that did all that they had to."""
    return statistics.fmean([t["state"] == "done" for t in tenants(row, high=high)])


def throughput(row: Row) -> float:
    """Seconds of work by low tenants a second of the run. What a killed one did is lost."""
    lows = tenants(row, high=False)
    end: float = max(t["start"] + t["seconds"] for t in lows)
    seconds: float = end - min(t["start"] for t in lows)
    done: float = sum(_kept(t, t["done"]) for t in lows)
    return done / seconds


def isolation(row: Row, alone: Row) -> float:
    """The high tenant's speed in percent of that alone; none if it did not finish."""
    (mine,), (its,) = tenants(row, high=True), tenants(alone, high=True)
    speed: float = its["seconds"] / mine["seconds"] if mine["state"] == "done" else 0.0
    return min(100.0, 100 * speed)


def conservation(row: Row) -> float:
    """What the low tenants had got done when the high one ended, in percent of their plans."""
    (high,) = tenants(row, high=True)
    end = high["start"] + high["seconds"]
    lows = tenants(row, high=False)
    wanted: float = sum(min(t["planned"], max(0.0, end - t["start"])) for t in lows)
    done = sum(_kept(t, t["at_high_end"]) for t in lows)
    return min(100.0, 100 * done / wanted)


def _kept(tenant: Mapping[str, Any], done: float) -> float:
    return 0.0 if tenant["state"] == "killed" else done


class _Pool:
    """Batches of all runs in order, so that a resample needs no sorting."""

    def __init__(self, batches: Mapping[int, Sequence[int]]) -> None:
        self._sizes = {seed: len(values) for seed, values in batches.items()}
        pairs = sorted((v, seed) for seed, values in batches.items() for v in values)
        self._values = [value for value, _ in pairs]
        self._seeds = [seed for _, seed in pairs]

    def quantile(self, part: float, seeds: Sequence[int]) -> float:
        """As `quantile`, of the batches of these runs, each as often as it is named."""
        times = {seed: seeds.count(seed) for seed in self._sizes}
        total = sum(self._sizes[seed] * count for seed, count in times.items())
        above = total - max(1, math.ceil(part * total))
        for at in range(len(self._values) - 1, -1, -1):
            above -= times[self._seeds[at]]
            if above < 0:
                return self._values[at]
        raise ValueError("no batches")
