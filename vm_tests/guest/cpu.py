"""Cgroups, what burns CPU in them, and a governor without a daemon."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from agentcg.enforce.governor import Governor, Rules
from agentcg.kernel.bpffs import Pins
from vm_tests.guest.containers import CGROUP
from vm_tests.guest.sandbox import ENTER, field, until

BASE = CGROUP / "cpu-test"
PINS = Path("/sys/fs/bpf/cpu-test")
SPIN = ("sh", "-c", "while :; do :; done")
# Eight children at a time, again and again.
FORKS = (
    "import os\n"
    "def child():\n"
    "    pid = os.fork()\n"
    "    return pid or os._exit(0)\n"
    "while True:\n"
    "    for pid in [child() for _ in range(8)]: os.waitpid(pid, 0)\n"
)
STORM = (sys.executable, "-c", FORKS)


def start() -> Governor:
    """The governor and its scheduler, attached or adopted; it leaves when nobody stops it."""
    rules = Rules(dead_man=300, max_delay=2, burst=0, refill=0, slots=64, threads=1024)
    return Governor.start(Pins(PINS), rules, now=time.monotonic(), log=Path("/run/verifier.log"))


@contextlib.contextmanager
def governed() -> Iterator[Governor]:
    """Start it, and stop it at the end."""
    governor = start()
    try:
        yield governor
    finally:
        governor.stop()
        shutil.rmtree(PINS, ignore_errors=True)


@contextlib.contextmanager
def groups(**settings: str) -> Iterator[None]:
    """Make cgroups by name, `a` and `a_b` in it, with one knob each, such as "cpu.max=max"."""
    paths = {group(name): setting for name, setting in settings.items()}
    try:
        for path, setting in {BASE: "", **paths}.items():
            (path.parent / "cgroup.subtree_control").write_text("+cpu")
            path.mkdir()
            knob, _, value = setting.partition("=")
            if knob:
                (path / knob).write_text(value)
        yield
    finally:
        for path in reversed((BASE, *paths)):
            if path.exists():
                (path / "cgroup.kill").write_text("1")
                until(partial(_empty, path), "its end")
                path.rmdir()


def _empty(path: Path) -> bool:
    return not field(path / "cgroup.events", "populated")


def group(name: str) -> Path:
    """The cgroup of that name."""
    return BASE.joinpath(*name.split("_"))


@contextlib.contextmanager
def burning(
    name: str, count: int, argv: tuple[str, ...] = SPIN
) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """Processes in a cgroup that use what CPU time they get."""
    with contextlib.ExitStack() as ends:
        started = []
        for _ in range(count):
            inside = ["sh", "-c", ENTER, str(group(name)), *argv]
            process = ends.enter_context(subprocess.Popen(inside))
            ends.callback(process.kill)
            started.append(process)
        yield started


def used(seconds: float, *names: str) -> list[float]:
    """How many CPUs each cgroup uses, on average over so long."""
    time.sleep(0.5)  # what has just begun has a head start
    stats = [group(name) / "cpu.stat" for name in names]
    before, begun = [field(stat, "usage_usec") for stat in stats], time.monotonic()
    time.sleep(seconds)
    after, took = [field(stat, "usage_usec") for stat in stats], time.monotonic() - begun
    return [(then - first) / took / 1e6 for first, then in zip(before, after, strict=True)]
