"""What the governor costs where it has nothing to do: `make bench-overhead`, in the machine.

There QEMU counts instructions as nanoseconds, so that a difference of a thousandth shows. The pool
has slack all the time. stdin is {"runs", "rounds"}; one JSON line a figure.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    for tier in TIERS:
        switch.to(tier)
        with sandbox("cost") as box:
            for run in range(order["runs"]):
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
    """Instructions without the governor and with it, and what it adds, in Markdown."""
    head = ["one", "where", "off", "T1", "T1 adds", "least to most over runs"]
    lines = [head, ["---"] * len(head)]
    for measure, words in MEASURES.items():
        for place in PLACES:
            off, on = (
                [
                    row["ns"]
                    for row in rows
                    if (row["measure"], row["place"], row["tier"]) == (measure, place, tier)
                ]
                for tier in TIERS
            )
            base = statistics.median(off)
            added = [100 * (value / base - 1) for value in (statistics.median(on), *sorted(on))]
            spread = f"{added[1]:+.2f} to {added[-1]:+.2f} %"
            figures = [f"{base:.0f}", f"{statistics.median(on):.0f}", f"{added[0]:+.2f} %", spread]
            lines.append([words, place, *figures])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
