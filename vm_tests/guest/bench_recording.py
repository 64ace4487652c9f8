"""Whether recording traces delays placements and answers: `make bench-telemetry VM=1`.

The installed daemon records in one turn and does not in the next, in random order, while HOT calls
move their memory each 100 ms. In the machine QEMU counts instructions as nanoseconds, so that a
busy host does not show: times are those of two CPUs that do 1 000 instructions a microsecond.
"""

import contextlib
import os
import random
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentcg.client import Client
from agentcg.errors import AgentcgError
from tests.bench.arms import gets, plain, timed
from tests.bench.figures import figure, ratio
from vm_tests.guest.sandbox import Sandbox, sandbox, until

ROUNDS = int(os.environ.get("ROUNDS", "6"))
RUNS = int(os.environ.get("RUNS", "40"))
HOT = int(os.environ.get("HOT", "20"))
ACG = Path("/usr/local/bin/acg")
CONFIG = Path("/etc/agentcg/agentcg.yaml")
ADMIN = Path("/run/agentcg/admin.sock")
# What the kernel charges at once, held for a tenth of a second and given back.
MOVES = """
import mmap, time
while True:
    area = mmap.mmap(-1, 1 << 18)
    area.write(b"x" * (1 << 18))
    time.sleep(0.1)
    area.close()
"""
WHAT = ("bare", "acg run", "API: GET a session")


def main() -> None:
    """Take turns, and compare the medians of each."""
    plain_config = CONFIG.read_text()
    took: dict[tuple[str, bool], list[float]] = {(w, on): [] for w in WHAT for on in (True, False)}
    try:
        for _ in range(ROUNDS):
            for recording in random.sample((True, False), 2):
                CONFIG.write_text(
                    f"{plain_config}\ntraces: {{enabled: {str(recording).lower()}}}\n"
                )
                _restart()
                for what, times in _turn().items():
                    took[what, recording].append(statistics.median(times))
    finally:
        CONFIG.write_text(plain_config)
        _restart()
    for what in WHAT:
        for on in (True, False):
            figure(f"{what}, {'with' if on else 'without'} recording", took[what, on])
        ratio(f"{what}, with recording to without", took[what, True], took[what, False])


def _turn() -> dict[str, Sequence[float]]:
    with sandbox("recorded") as box, _hot(box):
        times = timed(box.path, plain(ACG, box.name), RUNS, gap=0.1)
        return {**times, "API: GET a session": gets(ADMIN, box.name, RUNS)}


@contextlib.contextmanager
def _hot(box: Sandbox) -> Iterator[None]:
    with contextlib.ExitStack() as ends:
        for _ in range(HOT):
            process = ends.enter_context(box.run("--", "python3", "-c", MOVES))
            ends.callback(process.kill)
        until(lambda: len(box.client.calls()) >= HOT, "all calls", 120)
        yield


def _restart() -> None:
    subprocess.run(["systemctl", "restart", "agentcg.service"], check=True, timeout=180)
    until(_answers, "the daemon", 120)


def _answers() -> bool:
    try:
        with Client(str(ADMIN)) as client:
            client.host()
    except AgentcgError:
        return False
    return True


if __name__ == "__main__":
    main()
