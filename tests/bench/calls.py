"""What a call costs, on this host's kernel: `make bench-calls`.

A daemon of its own on a private cgroup2 mount; docs/benchmarks has the figures.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from agentcg.client import Client
from tests.bench.arms import Site, compare, gets, moves, plain
from tests.bench.figures import figure
from tests.root.daemon import ACG, RUN, Daemon, running, until

RUNS = int(os.environ.get("RUNS", "1000"))
SPACED = int(os.environ.get("SPACED", "1000"))
LIVE = int(os.environ.get("LIVE", "1000"))
GAP = 0.1


def main() -> None:
    """Run every arm and print the figures."""
    root = Path(os.environ["AGENTCG_TEST_ROOT"])
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(root, "bench/agentcg.slice", Path(scratch)) as daemon,
        Client(RUN / "admin.sock") as client,
    ):
        daemon.open("one")
        site = Site(client, daemon.session("one"))
        for runs, gap in ((RUNS, 0.0), (SPACED, GAP)):
            compare(site, plain(ACG, "one"), runs, gap=gap)
            moves(site, runs, gap=gap)
        times = gets(RUN / "admin.sock", "one", RUNS)
        figure("API: GET a session", times)
        figure("API: requests/s, one connection", [1e3 / statistics.mean(times)], "1/s")
        _idle(daemon)
        client.close_session("one")


def _idle(daemon: Daemon) -> None:
    """The daemon's memory and CPU with many live calls that do nothing."""
    assert daemon.process is not None
    names = [f"idle{n}" for n in range((LIVE + 249) // 250)]
    agents = []
    for name in names:
        daemon.open(name)
        many = f'for i in $(seq {min(250, LIVE)}); do "$0" run -- sleep 600 & done; wait'
        agents.append(daemon.inside("sh", "-c", many, str(ACG), name=name))
    until(lambda: sum(len(daemon.leaves(n)) for n in names) >= LIVE, "all calls", 120)
    process = psutil.Process(daemon.process.pid)
    time.sleep(2)
    before, start = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(20)
    used = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - start)
    figure(f"daemon CPU at {LIVE} live idle calls", [used * 100], "% of a core")
    figure(f"daemon RSS at {LIVE} live idle calls", [process.memory_info().rss / 2**20], "MiB")
    for name, agent in zip(names, agents, strict=True):
        agent.kill()
        agent.wait()
        daemon.ask("DELETE", f"/v1/sessions/{name}")


if __name__ == "__main__":
    main()
