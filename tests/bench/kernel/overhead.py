"""What the governor costs where it has nothing to do: `make bench-overhead`, in the machine.

There QEMU counts instructions as nanoseconds, so that a difference of a thousandth shows; with
WALL=1 they are nanoseconds of the host. The pool has slack all the time. The tiers take turns, in
random order. stdin is {"runs", "rounds"}; one JSON line a figure.
"""

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.kernel import stats
from tests.bench.kernel.ours import Switch
from vm_tests.guest.sandbox import Sandbox, sandbox

COST = Path(__file__).parents[3] / "build/bench/cost"
PLACES = ("outside", "in a call")
TIERS = ("off", "T1")
MEASURES = {
    "fault": "page fault of 4 KiB",
    "growth": "256 KiB mapped, touched and unmapped",
    "switch": "switch to another process, by pipe",
    "build": "build step: fork, exec, read, write, touch, wait",
}


def main() -> None:
    order = json.load(sys.stdin)
    command = [str(COST), str(order["rounds"])]
    switch = Switch()
    for run in range(order["runs"]):
        for tier in random.sample(TIERS, len(TIERS)):
            switch.to(tier)
            with sandbox("cost") as box:
                for place in PLACES:
                    for line in _output(box, place, command).splitlines():
                        name, median, _ = line.split()
                        row = {"measure": name, "place": place, "tier": tier, "run": run}
                        print(json.dumps({**row, "ns": int(median)}), flush=True)


def _output(box: Sandbox, place: str, command: Sequence[str]) -> str:
    if place == "outside":
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    with box.run("--", *command, stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
    return out


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What one costs without the governor and with it, and what it adds, in Markdown."""
    head = ["one", "where", "off", "T1", "T1 adds", "with 95 % confidence"]
    lines = [head, ["---"] * len(head)]
    for measure, words in MEASURES.items():
        for place in PLACES:
            off, on = (
                {
                    row["run"]: row["ns"]
                    for row in rows
                    if (row["measure"], row["place"], row["tier"]) == (measure, place, tier)
                }
                for tier in TIERS
            )
            added = stats.resampled(sorted(off), partial(_added, off, on))
            figures = [f"{statistics.median(tier.values()):.0f}" for tier in (off, on)]
            spread = f"{added.low:+.2f} to {added.high:+.2f} %"
            lines.append([words, place, *figures, f"{added.value:+.2f} %", spread])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _added(off: Mapping[int, int], on: Mapping[int, int], runs: Sequence[int]) -> float:
    """What T1 adds in percent, by the medians of those runs."""
    base, ours = (statistics.median(tier[run] for run in runs) for tier in (off, on))
    return 100 * (ours / base - 1)


if __name__ == "__main__":
    main()
