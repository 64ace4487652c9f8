"""What recording costs: `make bench-telemetry`.

The daemon's own sampler and store, in a process that does nothing else, on a tree of files as the
kernel writes them (in memory; the machine's own controllers may be those of cgroup v1, and the
kernel's part of a reading is not ours to make cheaper). `hot` calls change their memory each 100 ms
and compute; `idle` ones do nothing. The files are written by another process.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.kernel.cgroup_file import CgroupFile
from agentcg.model.event import Kind
from agentcg.model.sample import Sample
from agentcg.telemetry import shelf
from tests.bench.figures import figure
from tests.unit.control.recorded import Fleet, fleet

SECONDS = float(os.environ.get("SECONDS", "30"))
# Until those that are idle are known to be, and the first chunks of them are written.
WARM = float(os.environ.get("WARM", "65"))
CALLS = tuple(int(n) for n in os.environ.get("CALLS", "10,100,1000").split(","))
_HOUR = 3600.0

# Grows and shrinks by 4 MiB; a tenth of a CPU.
_MOVE = """
import os, sys, time
knobs = [(os.open(p + "/memory.current", 1), os.open(p + "/cpu.stat", 1)) for p in sys.argv[1:]]
begun, n = time.monotonic(), 0
while True:
    n += 1
    memory = b"%010d\\n" % (100_000_000 + (n * 4_194_304) % 67_108_864)
    cpu = b"usage_usec %012d\\nthrottled_usec 0\\n" % (n * 10_000)
    for current, stat in knobs:
        os.pwrite(current, memory, 0)
        os.pwrite(stat, cpu, 0)
    time.sleep(max(0.0, begun + n * 0.1 - time.monotonic()))
"""


def main() -> None:
    """Measure each number of calls, hot and idle."""
    with Path("/dev/null").open("wb", buffering=0) as null, pytest.MonkeyPatch.context() as patch:
        # What the kernel would do with it a plain file cannot; the system call is made.
        patch.setattr(CgroupFile, "write", lambda *_: os.pwrite(null.fileno(), b"r", 0))
        asyncio.run(_baseline())
        for calls in CALLS:
            for hot in (True, False):
                asyncio.run(_measure(calls, hot=hot))


async def _baseline() -> None:
    await asyncio.sleep(0)
    figure("RSS of the process before", [_rss()], "MiB")


async def _measure(calls: int, *, hot: bool) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as top, tempfile.TemporaryDirectory() as state:
        async with fleet(Path(top), Path(state)) as made:
            folders = _declare(made, calls)
            moving = [sys.executable, "-c", _MOVE, *folders]
            with subprocess.Popen(moving if hot else ["sleep", "1000"]) as mover:
                made.core.recorder.begin()
                await asyncio.sleep(WARM)
                await _window(made, calls, "hot" if hot else "idle")
                mover.kill()


def _declare(made: Fleet, calls: int) -> list[str]:
    folders = []
    for n in range(calls):
        made.call(f"c-{n}")
        folder = made.top / f"pool/s-1/agentcg.calls/c-{n}"
        (folder / "memory.peak").write_text("0000000000\n")
        folders.append(str(folder))
        made.core.tell(Kind.CALL_DECLARED, "shell limit=2147483648", session="s-1", call=f"c-{n}")
    return folders


async def _window(made: Fleet, calls: int, what: str) -> None:
    store = made.traces.store
    put, count = store.put, 0

    def counted(session: str, call: str, sample: Sample) -> None:
        nonlocal count
        count += 1
        put(session, call, sample)

    store.put = counted  # type: ignore[method-assign]
    folder = store.rules.folder
    cpu, begun, disk = time.process_time(), time.monotonic(), _disk(folder)
    with _system_calls() as entered:
        await asyncio.sleep(SECONDS)
    took, used = time.monotonic() - begun, time.process_time() - cpu
    name = f"{calls} {what} calls"
    if entered:
        figure(f"{name}: system calls a sample", [entered[0] / max(1, count)], "")
    figure(f"{name}: CPU", [100 * used / took], "% of a core")
    figure(f"{name}: samples", [count / took], "1/s")
    figure(f"{name}: CPU a sample", [1e6 * used / max(1, count)], "us")
    figure(f"{name}: RSS", [_rss()], "MiB")
    grown = _disk(folder) - disk
    figure(f"{name}: disk", [grown / calls / took * _HOUR / 1024], "KiB a call and hour")
    figure(f"{name}: lost", [float(store.lost)], "samples")


@contextlib.contextmanager
def _system_calls() -> Iterator[list[float]]:
    """Count those of all threads of this process, where there is perf."""
    entered: list[float] = []
    if shutil.which("perf") is None:
        yield entered
        return
    event = "raw_syscalls:sys_enter"
    words = ["perf", "stat", "-x,", "-e", event, "-p", str(os.getpid())]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as perf:
        yield entered
        perf.send_signal(signal.SIGINT)
        _, said = perf.communicate()
    entered += [float(line.split(",")[0]) for line in said.splitlines() if event in line]


def _disk(folder: Path) -> int:
    """What the files take once their logs, of 4 MiB at most, are in them."""
    for one in shelf.kept(folder):
        with contextlib.closing(sqlite3.connect(one.path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(one.size for one in shelf.kept(folder))


def _rss() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


if __name__ == "__main__":
    main()
