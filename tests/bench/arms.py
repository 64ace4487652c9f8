"""Ways to start one command, timed in turn, so that drift of the machine hits all alike.

Times are of whole processes, from fork to wait, as the session's agent sees them.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcg.client import Client
from tests.bench.figures import figure, ratio

TRUE = "/bin/true"
REPO = Path(__file__).parents[2]


@dataclass(frozen=True)
class Arm:
    """One way. `base` names the arm that it is set against; `session` is whose calls it makes."""

    name: str
    argv: tuple[str, ...]
    base: str | None = None
    session: str | None = None
    stdin: str = "/dev/null"


@dataclass(frozen=True)
class Site:
    """A daemon, and the bare session whose agent starts the commands."""

    client: Client
    cgroup: Path
    note: str = ""

    def when(self, gap: float) -> str:
        """The end of a figure's name: under which conditions it was taken."""
        return ("back to back" if not gap else f"{gap * 1e3:.0f} ms apart") + self.note


def plain(acg: Path, session: str) -> tuple[Arm, Arm]:
    """The two arms that every host has."""
    run = (str(acg), "run", "--", TRUE)
    return Arm("bare", (TRUE,)), Arm("acg run", run, base="bare", session=session)


def compare(site: Site, arms: Sequence[Arm], runs: int, *, gap: float) -> None:
    """Time the arms in turn and print what each takes, and adds to its base."""
    took = timed(site.cgroup, arms, runs, gap=gap)
    for arm in arms:
        figure(f"{arm.name}, {site.when(gap)}", took[arm.name])
        if arm.base is None:
            continue
        adds = [mine - its for mine, its in zip(took[arm.name], took[arm.base], strict=True)]
        figure(f"{arm.name} adds, {site.when(gap)}", adds)
        ratio(f"{arm.name} to {arm.base}, {site.when(gap)}", took[arm.name], took[arm.base])
        if arm.session is not None:
            writes = _writes(site, arm.session, runs)
            figure(f"{arm.name}, of that the cgroup.procs write, {site.when(gap)}", writes)
            rest = [add - write for add, write in zip(adds, writes, strict=True)]
            figure(f"{arm.name} adds without that write, {site.when(gap)}", rest)


def timed(
    cgroup: Path, arms: Sequence[Arm], runs: int, *, gap: float
) -> Mapping[str, Sequence[float]]:
    """Milliseconds of each arm, started in turn in the session of that cgroup."""
    words = [sys.executable, "-m", "tests.bench.turns"]
    words += [str(cgroup / "agentcg.agent"), str(runs), str(gap)]
    orders = json.dumps({arm.name: [arm.stdin, *arm.argv] for arm in arms})
    done = subprocess.run(
        words, input=orders, cwd=REPO, check=True, stdout=subprocess.PIPE, text=True
    )
    took: dict[str, list[float]] = json.loads(done.stdout)
    return took


def _writes(site: Site, session: str, runs: int) -> list[float]:
    """What the daemon measured of the one write in each of the last calls, oldest first."""
    calls = [view.call for view in site.client.calls(everything=True)]
    calls = [call for call in calls if call.session == session and call.placement is not None]
    calls.sort(key=lambda call: call.declared_at)
    return [call.placement * 1e3 for call in calls[-runs:] if call.placement is not None]


def moves(site: Site, runs: int, *, gap: float) -> None:
    """The cgroup.procs write by itself: a sleeping process moved back and forth."""
    agent, leaf = site.cgroup / "agentcg.agent", site.cgroup / "agentcg.calls/c-bench"
    leaf.mkdir()
    sleeper = subprocess.Popen(["sleep", "6000"])
    times = []
    for turn in range(runs):
        time.sleep(gap)
        fd = os.open((leaf if turn % 2 == 0 else agent) / "cgroup.procs", os.O_WRONLY)
        begun = time.perf_counter()
        os.write(fd, str(sleeper.pid).encode())
        times.append((time.perf_counter() - begun) * 1e3)
        os.close(fd)
    # Back out first: a zombie is moved too, and an empty leaf goes at once.
    (agent / "cgroup.procs").write_text(str(sleeper.pid))
    sleeper.kill()
    sleeper.wait()
    leaf.rmdir()
    figure(f"a cgroup.procs write by itself, {site.when(gap)}", times)


def gets(admin: Path, session: str, runs: int) -> list[float]:
    """Milliseconds to read a session over a kept connection, one request after the other."""
    connection = http.client.HTTPConnection("agentcg")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(admin))
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        connection.request("GET", f"/v1/sessions/{session}")
        connection.getresponse().read()
        times.append((time.perf_counter() - begun) * 1e3)
    connection.close()
    return times
