"""What CPU time comes to whom, and how soon: `make bench-cpu`. One JSON line a figure.

Each figure is taken under the kernel's scheduler and under ours (T1), in random order. In the
machine QEMU counts instructions as nanoseconds, on two CPUs, so that a busy host does not show.

wakeup   Every 100 ms a process wakes up and uses 10 ms of CPU, beside 8 that never stop: in one
         cgroup with it (`one`); in one by the weights of an interactive and of a batch call
         (`classes`); in one each, all of the same weight (`calls`).
weight   Two cgroups of weights 200 and 100: how much more the one gets.
quota    `cpu.max` of half a CPU for four that never stop: what they get, alone and beside two.
storm    Two that never stop, beside four that fork all the time: what they get less than beside two
         of their own kind.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping

from agentcg.model.intent import CpuClass
from agentcg.policy.admit import CLASS_WEIGHT
from vm_tests.guest import cpu
from vm_tests.guest.sandbox import ENTER

RUNS = int(os.environ.get("RUNS", "1"))
WAKES = int(os.environ.get("WAKES", "100"))
SECONDS = int(os.environ.get("SECONDS", "6"))
BURNERS = 8
HALF = "cpu.max=50000 100000"
COMMAND = f"""
import time
for count in range(-5, {WAKES}):
    due = time.monotonic() + 0.09
    time.sleep(0.09)
    end = time.thread_time() + 0.01
    while time.thread_time() < end: pass
    if count >= 0: print(time.monotonic() - due)  # the first few see the others start
"""
Figures = Mapping[str, float]


def main() -> None:
    """Take all figures RUNS times."""
    for run in range(RUNS):
        for scheduler in random.sample(("kernel", "T1"), 2):
            with cpu.governed() if scheduler == "T1" else contextlib.nullcontext():
                for name, take in FIGURES.items():
                    row = {"figure": name, "run": run, "scheduler": scheduler, **take()}
                    print(json.dumps(row), flush=True)


def _one() -> Figures:
    return _wakeup("s", {"s": BURNERS}, s="")


def _classes() -> Figures:
    quick, slow = CLASS_WEIGHT[CpuClass.INTERACTIVE], CLASS_WEIGHT[CpuClass.BATCH]
    return _wakeup("i", {"b": BURNERS}, i=f"cpu.weight={quick}", b=f"cpu.weight={slow}")


def _calls() -> Figures:
    names = {f"b{number}": 1 for number in range(BURNERS)}
    return _wakeup("i", names, **dict.fromkeys(("i", *names), "cpu.weight=100"))


def _wakeup(quick: str, burners: Mapping[str, int], **groups: str) -> Figures:
    with contextlib.ExitStack() as stack:
        stack.enter_context(cpu.groups(**groups))
        for name, count in burners.items():
            stack.enter_context(cpu.burning(name, count))
        inside = ["sh", "-c", ENTER, str(cpu.group(quick)), sys.executable, "-c", COMMAND]
        said = subprocess.run(inside, check=True, capture_output=True, text=True, timeout=900)
    took = sorted(float(line) for line in said.stdout.split())
    return {
        f"p{part}_ms": round(took[min(len(took) - 1, part * len(took) // 100)] * 1000, 2)
        for part in (50, 95, 99)
    }


def _weight() -> Figures:
    with (
        cpu.groups(a="cpu.weight=200", b="cpu.weight=100"),
        cpu.burning("a", 2),
        cpu.burning("b", 2),
    ):
        a, b = cpu.used(SECONDS, "a", "b")
    return {"ratio": round(a / b, 3)}


def _quota() -> Figures:
    with cpu.groups(q=HALF, b=""), cpu.burning("q", 4):
        (alone,) = cpu.used(SECONDS, "q")
        with cpu.burning("b", 2):
            (beside,) = cpu.used(SECONDS, "q")
    return {"alone_percent": round(100 * alone, 1), "beside_percent": round(100 * beside, 1)}


def _storm() -> Figures:
    with cpu.groups(a="", b=""), cpu.burning("b", 2):
        with cpu.burning("a", 2):
            (before,) = cpu.used(SECONDS, "b")
        with cpu.burning("a", 4, cpu.STORM):
            (after,) = cpu.used(SECONDS, "b")
    return {"costs_percent": round(100 * (1 - after / before), 1)}


FIGURES: Mapping[str, Callable[[], Figures]] = {
    "wakeup one": _one,
    "wakeup classes": _classes,
    "wakeup calls": _calls,
    "weight 200:100": _weight,
    "quota": _quota,
    "storm": _storm,
}


if __name__ == "__main__":
    main()
