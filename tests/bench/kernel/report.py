"""Tables and pictures of a bench: `python -m tests.bench.kernel.report ROWS [FOLDER]`.

The tables go to stdout in Markdown, the pictures into the folder (build/bench). Figures go to
docs/benchmarks by hand: who reads them should have seen them.
"""

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench.kernel import pictures, stats
from tests.bench.kernel.peers import ROOM
from tests.bench.kernel.replay import ALONE, ARMS
from tests.bench.kernel.stats import GOAL, Interval, Row

Arms = Mapping[str, Mapping[int, Row]]


def main() -> None:
    source = Path(sys.argv[1])
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else source.parent
    rows = [json.loads(line) for line in source.read_text(encoding="ascii").splitlines()]
    seeds = stats.counted(rows)
    if not seeds:
        raise SystemExit("no run counts: without control the high tenant met no full pool")
    arms, steady = _arms(rows, seeds), _arms(stats.steady(rows), seeds)
    drawn = len({row["seed"] for row in rows})
    print(f"{len(seeds)} of {drawn} runs count.\n")
    print(outcomes(arms))
    for words, found in (("All batches", arms), ("At full speed", steady)):
        print(f"{words}:\n\n{latencies(found)}")
        print("\n".join(verdicts(found)), end="\n\n")
    (folder / "latency.svg").write_text(pictures.latency(steady), encoding="utf-8")
    (folder / "pool.svg").write_text(pictures.pool(arms, seeds[0]), encoding="utf-8")


def _arms(rows: Sequence[Row], seeds: Sequence[int]) -> Arms:
    return {name: found for name in ARMS if (found := stats.arm(rows, name, seeds))}


def latencies(arms: Arms) -> str:
    """How long a batch of the high tenant took; also against that alone, and with room for all."""
    bases = [base for base in (ALONE, ROOM) if base in arms]
    lines = []
    for name, rows in arms.items():
        cells = [str(sum(len(row["batches_us"]) for row in rows.values()))]
        cells += [_interval(stats.latency(rows, part), ".2f") for part in (0.5, 0.95, 0.99)]
        ratios = [stats.ratio(rows, arms[base], part) for base in bases for part in (0.95, 0.99)]
        lines.append([name, str(len(rows)), *cells, *(_interval(one, ".2f") for one in ratios)])
    head = ["arm", "runs", "batches", "P50 ms", "P95 ms", "P99 ms"]
    head += [f"{part} / {base}" for base in bases for part in ("P95", "P99")]
    return _table(head, lines)


def outcomes(arms: Arms) -> str:
    """What became of everybody."""
    head = ["arm", "high killed", "runs with a low one killed", "nobody killed", "high finished"]
    head += ["high s", "low finished", "low throughput", "isolation %", "latency impact %"]
    head += ["work conservation %"]
    return _table(head, [_outcome(name, arms) for name in arms])


def _outcome(name: str, arms: Arms) -> list[str]:
    rows, alone = arms[name], arms[ALONE]
    every = list(rows.values())
    died = [sum(not stats.survived(row, high=high) for row in every) for high in (True, False)]
    lived = sum(all(stats.survived(row, high=high) for high in (True, False)) for row in every)
    high = [t for row in every for t in stats.tenants(row, high=True)]
    done = [t["seconds"] for t in high if t["state"] == "done"]
    ratio = stats.ratio(rows, alone, 0.95)
    both = sorted(rows.keys() & alone.keys())
    cells = [name, f"{died[0]} of {len(every)}"]
    cells += ["-" if name == ALONE else f"{died[1]} of {len(every)}"]
    cells += [_interval(stats.proportion(lived, len(every)), ".0%"), f"{len(done)} of {len(high)}"]
    cells += [f"{statistics.median(done):.1f}" if done else "-"]
    if name == ALONE:
        return [*cells, *["-"] * 5]
    cells += [f"{statistics.mean(stats.finished(row, high=False) for row in every):.0%}"]
    cells += [_mean(rows, stats.throughput, ".2f")]
    isolated = stats.resampled(
        both, lambda seeds: statistics.mean(stats.isolation(rows[s], alone[s]) for s in seeds)
    )
    cells += [_interval(isolated, ".0f"), _interval(_percent(ratio), ".0f")]
    return [*cells, _mean(rows, stats.conservation, ".0f")]


def verdicts(arms: Arms) -> list[str]:
    """Which arms keep to what was asked for: nobody killed, P95 at most 1.2 of that alone."""
    lines = []
    for name, rows in arms.items():
        if name in {ALONE, ROOM}:
            continue
        killed = sum(t["state"] == "killed" for row in rows.values() for t in row["tenants"])
        most = stats.ratio(rows, arms[ALONE], 0.95).high
        good = not killed and most <= GOAL
        verdict = "meets" if good else "fails"
        lines.append(
            f"- {name} {verdict} the criterion: P95 at most {most:.2f} of that alone, "
            f"{killed} tenants killed"
        )
    return lines


def _mean(rows: Mapping[int, Row], of: Callable[[Row], float], form: str) -> str:
    found = stats.resampled(sorted(rows), lambda seeds: statistics.mean(of(rows[s]) for s in seeds))
    return _interval(found, form)


def _percent(ratio: Interval) -> Interval:
    return Interval(*(100 * (value - 1) for value in (ratio.value, ratio.low, ratio.high)))


def _interval(found: Interval, form: str) -> str:
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    main()
