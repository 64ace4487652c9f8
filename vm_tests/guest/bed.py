"""A pool with the governor alone, no daemon: what it holds, to the byte.

with bed() as pool:
    low = pool.call("low", priority=-100)
    with low.run(GROW.format(...)) as process:
        pool.room(32 * MIB)
"""

import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agentcg.enforce.governor import Governor, Rules
from agentcg.kernel import probe_bpf
from agentcg.kernel.bpf_records import SECOND, Tally
from agentcg.kernel.bpffs import Pins
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.terms import Terms
from vm_tests.guest.sandbox import number, until

ROOT = Path("/sys/fs/cgroup/bed.slice")
MAX_DELAY = 2.0
SLOTS = 32
_NEEDS = ("bpf.tripwire", "bpf.task_work", "sched_ext")
_RULES = Rules(dead_man=600.0, max_delay=MAX_DELAY, burst=0, refill=0, slots=SLOTS, threads=1024)
_NUMBERS = itertools.count()
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@dataclass
class Leaf:
    """A governed cgroup."""

    path: Path
    governor: Governor

    @contextlib.contextmanager
    def run(self, program: str, *words: str) -> "Iterator[subprocess.Popen[str]]":
        """A Python program in it, once it has said that it is ready; killed at the end."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        argv = ("sh", "-c", _ENTER, str(self.path), sys.executable, "-c", program, *words)
        with subprocess.Popen(argv, text=True, **pipes) as process:  # type: ignore[call-overload]
            try:
                assert process.stdout.readline() == "ready\n"
                yield process
            finally:
                process.kill()

    @property
    def tally(self) -> Tally:
        """What it did."""
        found = self.governor.tally(self.path.stat().st_ino)
        assert found is not None
        return found

    @property
    def throttled(self) -> float:
        """Seconds in delays that are over."""
        return float(self.tally.throttled / SECOND)

    def held(self, threads: int = 1) -> None:
        """Wait until so many threads of it are held."""
        until(lambda: self.tally.held >= threads, "threads to be held", 60)


@dataclass
class Bed:
    """The pool and the governor."""

    governor: Governor
    pool: CgroupDir

    def call(self, name: str, *, priority: int = 0, guarantee: int = 0) -> Leaf:
        """Make a call's cgroup, of a session of its own, and put it on its terms."""
        path = ROOT / f"{name}-{next(_NUMBERS)}"  # a test that is run again makes others
        path.mkdir()
        with CgroupDir.open(path) as leaf:
            terms = Terms(free=guarantee, kept=guarantee, priority=priority)
            self.governor.govern(leaf, leaf, self.pool, terms)
        return Leaf(path, self.governor)

    @property
    def used(self) -> int:
        """Bytes in the pool."""
        return number(ROOT / "memory.current")

    def room(self, size: int) -> int:
        """Leave so much room from now on, with slack up to the end; the pool's new size."""
        whole = self.used + size
        self.governor.pool(self.pool, whole, slack=1.0, band=0.0)
        return whole


def go(process: "subprocess.Popen[str]") -> None:
    """Let a program that is ready begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def needs_t1() -> None:
    """Skip where the kernel has not what the governor is made of."""
    found = {one.name: one for one in probe_bpf.mechanisms(Path("/sys"))}
    lacking = [found[name].detail for name in _NEEDS if not found[name].works]
    if lacking:
        pytest.skip(lacking[0])


@contextlib.contextmanager
def bed(log: Path, max_delay: float = MAX_DELAY) -> Iterator[Bed]:
    """Attach the governor to a pool of its own; nothing of it stays."""
    pins = Pins(Path("/sys/fs/bpf/bed"))
    with bare() as pool:
        rules = replace(_RULES, max_delay=max_delay)
        governor = Governor.start(pins, rules, now=time.monotonic(), log=log)
        try:
            made = Bed(governor, pool)
            made.room(1 << 40)
            yield made
        finally:
            governor.stop()


@contextlib.contextmanager
def bare() -> Iterator[CgroupDir]:
    """The pool without anybody who governs it; in the end all in it is killed."""
    ROOT.mkdir()
    try:
        (ROOT / "cgroup.subtree_control").write_text("+memory")
        with CgroupDir.open(ROOT) as pool:
            yield pool
    finally:
        for leaf in [*ROOT.glob("*/"), ROOT]:
            (leaf / "cgroup.kill").write_text("1")
            until(lambda leaf=leaf: _removed(leaf), f"{leaf} to go")  # type: ignore[misc]


def _removed(leaf: Path) -> bool:
    with contextlib.suppress(OSError):
        leaf.rmdir()
    return not leaf.exists()
