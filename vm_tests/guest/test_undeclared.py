"""Two agents alike, one of which declares its work: what each of them gets."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from agentcg.client import Client
from vm_tests.guest.containers import ACG, LABEL, PYTHON, Box, container, session_of
from vm_tests.guest.sandbox import BURST, field, number, scale, until

pytestmark = pytest.mark.vm

LIMITS = ("-m", "400m", "--memory-swap", "400m", "--pids-limit", "1000")
PYTHON3 = "/usr/bin/python3"
PIDS = (
    "import threading\ngo=threading.Event()\nn=0\n"
    "try:\n while True: threading.Thread(target=go.wait, daemon=True).start(); n+=1\n"
    "except RuntimeError: print(n, flush=True)\n"
    "import os; os._exit(0)"
)
SPIN = "import os\nos.sched_setaffinity(0, {0})\nwhile True: pass"
DECLARED = (ACG, "run", "--")
SECOND = 1_000_000  # microseconds


@pytest.fixture(scope="module")
def agents(client: Client) -> Iterator[tuple[Box, Box]]:
    """One that declares, and one that does not."""
    with ExitStack() as stack:
        made = [stack.enter_context(container(*LABEL, *PYTHON, *LIMITS)) for _ in range(2)]
        for box in made:
            session_of(client, box)
        yield made[0], made[1]


def _most_pids(box: Box, *prefix: str) -> int:
    return int(box.exec(*prefix, PYTHON3, "-c", PIDS).stdout)


def _holds(box: Box, mib: int, *prefix: str) -> bool:
    """Whether a burst of so much memory is survived."""
    return box.exec(*prefix, PYTHON3, "-c", BURST.format(mib=mib)).returncode == 0


def test_who_declares_gets_more(agents: tuple[Box, Box]) -> None:
    open_, silent = agents
    assert _holds(open_, 300, *DECLARED)
    assert not _holds(silent, 300)
    assert _holds(silent, 100)
    declared, undeclared = _most_pids(open_, *DECLARED), _most_pids(silent)
    print(f"{declared=} {undeclared=}")
    assert undeclared < 0.8 * declared


def test_cpu_goes_to_calls_first_and_equally_to_sessions(agents: tuple[Box, Box]) -> None:
    """Two busy processes in each of three cgroups, on one CPU: between two, balancing decides too.

    Between containers the engine's weights decide, which are alike: not declaring gains nothing.
    Within one, undeclared work yields to calls once its credit is spent.
    """
    open_, silent = agents
    burn = ("/bin/sh", "-c", f'{PYTHON3} -c "$0" & {PYTHON3} -c "$0"', SPIN)
    calls = [open_.home / "agentcg.calls", open_.home / "agentcg.agent", silent.home]

    def used() -> list[int]:
        return [field(cgroup / "cpu.stat", "usage_usec") for cgroup in calls]

    idle = used()
    runs = [open_.start(*DECLARED, *burn), open_.start(*burn), silent.start(*burn)]
    busy = SECOND / 2
    until(lambda: all(b - a > busy for a, b in zip(idle, used(), strict=True)), "all to run", 120)
    until(lambda: number(open_.home / "agentcg.agent/cpu.weight") == 10, "the credit to be spent")
    before = used()
    with pytest.raises(subprocess.TimeoutExpired):
        runs[0].wait(scale(10, 20))
    declared, beside, undeclared = (b - a for a, b in zip(before, used(), strict=True))
    figures = f"{declared=} {beside=} {undeclared=}"
    print(figures)
    assert beside < declared / 2, figures
    assert undeclared < 1.25 * (declared + beside), figures
    for run in runs:
        run.kill()
        run.wait()
