"""What a call costs: `make bench-calls`. Prints one JSON line per figure, then a table.

Arms are interleaved run by run, so that drift of the machine hits all of them alike. Times are of
whole processes, from fork to wait, in milliseconds.
"""

import http.client
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from tests.root.daemon import ACG, ENTER, RUN, Daemon, running, until

RUNS = int(os.environ.get("RUNS", "1000"))
SPACED = int(os.environ.get("SPACED", "200"))
LIVE = int(os.environ.get("LIVE", "1000"))
TRUE = "/bin/true"


def main() -> None:
    """Run every arm and print the figures."""
    root = Path(os.environ["AGENTCG_TEST_ROOT"])
    budget = {"budget": {"calls": 256}}
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(root, "bench/agentcg.slice", Path(scratch)) as daemon,
    ):
        daemon.open("one", **budget)
        _processes(daemon, RUNS, gap=0.0)
        _processes(daemon, SPACED, gap=0.1)
        _moves(daemon, RUNS, gap=0.0)
        _moves(daemon, SPACED, gap=0.1)
        _api(RUNS)
        _idle(daemon)
        daemon.ask("DELETE", "/v1/sessions/one")


def _processes(daemon: Daemon, runs: int, *, gap: float) -> None:
    """Bare and placed processes in turn, started by one agent inside the session."""
    script = (
        "import json,subprocess,sys,time\n"
        "arms=json.loads(sys.argv[1]); out={a:[] for a in arms}\n"
        f"for _ in range({runs}):\n"
        "  for name,argv in arms.items():\n"
        f"    time.sleep({gap}); t=time.perf_counter(); subprocess.run(argv,check=True)\n"
        "    out[name].append((time.perf_counter()-t)*1e3)\n"
        "print(json.dumps(out))\n"
    )
    arms = {"bare": [TRUE], "acg run": [str(ACG), "run", "--", TRUE]}
    agent = str(daemon.session("one") / "agentcg.agent")
    command = ["sh", "-c", ENTER, agent, "python3", "-c", script, json.dumps(arms)]
    out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    when = "back to back" if not gap else f"{gap * 1e3:.0f} ms apart"
    for name, times in out.items():
        _print(f"{name}, {when}", times)
    placed = [c["placement"] * 1e3 for c in daemon.history() if c["placement"]][:runs]
    _print(f"cgroup.procs write in those calls, {when}", placed)
    added = [b - a for a, b in zip(out["bare"], out["acg run"], strict=True)]
    _print(f"acg run adds, {when}", added)
    without = statistics.median(added) - statistics.median(placed)
    _figure(f"acg run adds without that write (difference of medians), {when}", [without], "ms")


def _moves(daemon: Daemon, runs: int, *, gap: float) -> None:
    """The one cgroup.procs write by itself: a sleeping process moved back and forth."""
    sleeper = daemon.inside("sleep", "1000")
    until(lambda: "agentcg.agent" in Path(f"/proc/{sleeper.pid}/cgroup").read_text(), "the agent")
    targets = [daemon.session("one") / "agentcg.calls", daemon.session("one") / "agentcg.agent"]
    made = targets[0] / "c-bench"
    made.mkdir()
    times = []
    for turn in range(runs):
        time.sleep(gap)
        procs = (made if turn % 2 == 0 else targets[1]) / "cgroup.procs"
        fd = os.open(procs, os.O_WRONLY)
        start = time.perf_counter()
        os.write(fd, str(sleeper.pid).encode())
        times.append((time.perf_counter() - start) * 1e3)
        os.close(fd)
    sleeper.kill()
    sleeper.wait()
    until(lambda: _rmdir(made), "the leaf to go")
    _print(
        f"cgroup.procs write, {'back to back' if not gap else f'{gap * 1e3:.0f} ms apart'}", times
    )


def _rmdir(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError:
        return False
    return True


def _api(runs: int) -> None:
    """Reading one session over a kept connection, one request after the other."""
    connection = http.client.HTTPConnection("agentcg")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(RUN / "admin.sock"))

    def once() -> None:
        connection.request("GET", "/v1/sessions/one")
        connection.getresponse().read()

    times = _timed(once, runs)
    connection.close()
    _print("API: GET a session", times)
    _figure("API: requests/s, one connection", [1e3 / statistics.mean(times)], "1/s")


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
    _figure(f"daemon CPU at {LIVE} live idle calls", [used * 100], "% of a core")
    _figure(f"daemon RSS at {LIVE} live idle calls", [process.memory_info().rss / 2**20], "MiB")
    for name, agent in zip(names, agents, strict=True):
        agent.kill()
        agent.wait()
        daemon.ask("DELETE", f"/v1/sessions/{name}")


def _timed(what: Callable[[], None], runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        what()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def _print(name: str, times: Sequence[float]) -> None:
    _figure(name, times, "ms")


def _figure(name: str, values: Sequence[float], unit: str) -> None:
    """One JSON line: median, quartiles, p99 and the number of runs."""
    line: dict[str, object] = {"figure": name, "unit": unit, "runs": len(values)}
    if len(values) > 1:
        cuts = statistics.quantiles(values, n=100)
        line |= {"p25": cuts[24], "p50": cuts[49], "p75": cuts[74], "p99": cuts[98]}
    else:
        line["value"] = values[0]
    print(
        json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}),
        flush=True,
    )


if __name__ == "__main__":
    main()
