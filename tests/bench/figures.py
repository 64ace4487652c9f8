"""One JSON line per figure: median, quartiles, p99 and the number of runs, or a single value."""

import json
import statistics
from collections.abc import Sequence

from tests.bench.kernel.stats import resampled


def figure(name: str, values: Sequence[float], unit: str = "ms") -> None:
    """Print one line."""
    line: dict[str, str | int | float] = {"figure": name, "unit": unit, "runs": len(values)}
    if len(values) > 1:
        # Inclusive: nothing is printed that lies outside what was seen.
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        percentiles = {25: "p25", 50: "p50", 75: "p75", 99: "p99"}
        line |= {label: round(cuts[at - 1], 3) for at, label in percentiles.items()}
    else:
        line["value"] = round(values[0], 3)
    print(json.dumps(line), flush=True)


def ratio(name: str, mine: Sequence[float], base: Sequence[float]) -> None:
    """Print the ratio of two medians of interleaved runs, with a bootstrap interval of 95 %."""

    def of(turns: Sequence[int]) -> float:
        return statistics.median(mine[n] for n in turns) / statistics.median(base[n] for n in turns)

    found = resampled(range(len(mine)), of)
    line = {"figure": name, "unit": "ratio", "runs": len(mine)}
    print(json.dumps(line | {"p50": found.value, "low": found.low, "high": found.high}), flush=True)
