"""One JSON line per figure: median, quartiles, p99 and the number of runs, or a single value."""

import json
import statistics
from collections.abc import Sequence


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
