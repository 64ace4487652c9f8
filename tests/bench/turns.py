"""The process that times commands from inside a session: its arguments are AGENT RUNS GAP.

It moves itself into the cgroup AGENT, reads {name: [file for its stdin, *argv]} from stdin,
starts each command RUNS times in turn, GAP seconds after the one before, and writes
{name: [milliseconds]}.
"""

import json
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    agent, runs, gap = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    (agent / "cgroup.procs").write_text("0")
    arms = json.load(sys.stdin)
    took: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(runs):
        for name, (given, *argv) in arms.items():
            time.sleep(gap)
            with Path(given).open() as stdin:
                begun = time.perf_counter()
                subprocess.run(argv, check=True, stdin=stdin, stdout=subprocess.DEVNULL)
                took[name].append((time.perf_counter() - begun) * 1e3)
    json.dump(took, sys.stdout)


if __name__ == "__main__":
    main()
