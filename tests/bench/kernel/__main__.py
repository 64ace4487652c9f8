"""Every arm in turn, in the machine: `make bench-kernel` runs it. One JSON line a run.

stdin says what to do: {"runs", "pool", "speed", "traces", "done": [[seed, arm], …]}.
What is done is left out, so that a bench that was broken off goes on where it was.
"""

import json
import mmap
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.bench.kernel import scenario
from tests.bench.kernel.ours import Switch
from tests.bench.kernel.replay import ARMS, TIER, replay


def main() -> None:
    order = json.load(sys.stdin)
    traces = scenario.load(Path(order["traces"]))
    done = {(seed, arm) for seed, arm in order["done"]}
    switch = Switch()
    warm()
    for seed, arm in turns(order["runs"]):
        if (seed, arm) in done:
            continue
        switch.to(TIER.get(arm, "off"))
        drawn = scenario.draw(seed, traces, order["pool"], order["speed"])
        print(json.dumps(replay(arm, drawn)), flush=True)


def warm() -> None:
    """Touch what is free: at the first touch a machine's host has to find it memory."""
    size = psutil.virtual_memory().available * 9 // 10
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, size, flags=flags).close()


def turns(runs: int) -> Iterator[tuple[int, str]]:
    """Each seed with every arm, in an order of its own."""
    for seed in range(runs):
        arms = list(ARMS)
        random.Random(f"order {seed}").shuffle(arms)
        yield from ((seed, arm) for arm in arms)


if __name__ == "__main__":
    main()
