"""How far past a threshold memory grows until it is held: `make bench-reaction`, in the machine.

One process grows as fast as it can (`ramp.c`). At `ROOM` more than it began with, its pool is at
its end by the lights of each arm: the governor's (T1), `memory.high`'s, a loop's in user space. No
daemon. stdin is {"runs", "seconds"}; one JSON line a run.
"""

import contextlib
import json
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.kernel import peers
from vm_tests.guest.bed import ROOT, bare, bed, go
from vm_tests.guest.sandbox import ENTER, MIB, field, number

RAMP = Path(__file__).parents[3] / "build/bench/ramp"
ARMS = ("T1", "memory.high", "PSI loop")
ROOM = 64 * MIB
SIZE = 1024 * MIB  # how far all threads together grow if nobody holds them
STAND = 0.05  # seconds without a batch from which on a thread counts as held
PERIOD = 0.05  # of the loop
_BATCHES = 8192  # a thread's part of the log, as in ramp.c


@dataclass(frozen=True)
class Way:
    """How it grows: ramp's word, its threads, and the bytes of a batch."""

    word: str
    threads: int
    batch: int


WAYS = {
    "4 KiB pages": Way("small", 1, MIB // 4),
    "4 KiB pages, 4 threads": Way("small", 4, MIB // 4),
    "huge pages": Way("huge", 1, 2 * MIB),
    "tmpfs, writes of 1 MiB": Way("tmpfs", 1, MIB),
}


@dataclass(frozen=True)
class Reaction:
    """`speed` in bytes a second, half way to the threshold; `over` bytes and `took` seconds from it
    until the last thread stood, `grown` bytes from then to the end. `held`: all threads stood.
    """

    speed: float
    over: int
    took: float
    grown: int
    held: bool


def judge(threads: Sequence[Sequence[float]], batch: int, room: int, end: float) -> Reaction:
    """From when each thread's batches were done, in seconds, and when looking on ended."""
    done = sorted(at for thread in threads for at in thread)
    crossed = done[room // batch - 1]
    stood = [_stand(thread, crossed, end) for thread in threads]
    last = max(thread[count - 1] for thread, count in zip(threads, stood, strict=True))
    held = all(count * len(threads) * batch < SIZE for count in stood)
    half = room // batch // 2  # who is held a little early crosses only after the first delay
    speed = half * batch / (done[half] - done[0])
    over, grown = sum(stood) * batch - room, (len(done) - sum(stood)) * batch
    return Reaction(speed, over, max(0.0, last - crossed), grown, held)


def _stand(thread: Sequence[float], crossed: float, end: float) -> int:
    """How many batches it had done when it first stood beyond the crossing."""
    for count, (at, after) in enumerate(zip(thread, [*thread[1:], end], strict=True), 1):
        if after > crossed and after - at >= STAND:
            return count
    return len(thread)


def main() -> None:
    order = json.load(sys.stdin)
    for run in range(order["runs"]):
        for way in random.sample(sorted(WAYS), len(WAYS)):
            for arm in random.sample(ARMS, len(ARMS)):
                found = grow(arm, WAYS[way], order["seconds"])
                print(json.dumps({"run": run, "way": way, "arm": arm, **found}), flush=True)


def grow(arm: str, way: Way, seconds: float) -> dict[str, Any]:
    """Let memory grow that way until that arm holds it; a row of figures."""
    with tempfile.NamedTemporaryFile(dir="/root") as log, _place(arm) as (place, bound):
        log.write(bytes(8 * _BATCHES * way.threads))
        log.flush()
        argv = [str(RAMP), way.word, str(way.threads), str(SIZE // MIB // way.threads), log.name]
        words = ["sh", "-c", ENTER, str(place), *argv]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(words, text=True, **pipes) as process:  # type: ignore[call-overload]
            try:
                assert process.stdout.readline() == "ready\n"
                with bound:
                    go(process)
                    time.sleep(seconds)
                    end = time.monotonic()
                    rows = [*struct.iter_unpack(f"={_BATCHES}Q", Path(log.name).read_bytes())]
                    huge = field(place / "memory.stat", "anon_thp")
            finally:
                process.kill()
    threads = [[at / 1e9 for at in row if at] for row in rows]
    found = asdict(judge(threads, way.batch, ROOM, end))
    return {**found, "seconds": seconds, "huge": huge}


@contextlib.contextmanager
def _place(arm: str) -> "Iterator[tuple[Path, contextlib.AbstractContextManager[None]]]":
    """A cgroup in the pool, and what sets the pool's end to ROOM from when it is entered."""
    if arm == "T1":
        with bed(Path("/root/verifier.log")) as pool:
            yield pool.call("ramp", priority=-100).path, _bound(lambda: pool.room(ROOM))
        return
    with bare():
        place = ROOT / "ramp"
        place.mkdir()
        yield place, _looped(place) if arm == "PSI loop" else _bound(lambda: _hold(place, ROOM))


@contextlib.contextmanager
def _bound(end: Callable[[], object]) -> Iterator[None]:
    end()
    yield


@contextlib.contextmanager
def _looped(place: Path) -> Iterator[None]:
    """The loop: it looks every 50 ms at what is used, and whether somebody waited for memory."""
    limit, done = number(place / "memory.current") + ROOM, threading.Event()

    def look() -> None:
        stalled = peers.stalled(ROOT)
        while not done.wait(PERIOD):
            before, stalled = stalled, peers.stalled(ROOT)
            if number(place / "memory.current") >= limit or stalled - before > PERIOD / 10:
                _hold(place, 0)
                return

    loop = threading.Thread(target=look)
    loop.start()
    try:
        yield
    finally:
        done.set()
        loop.join()


def _hold(place: Path, room: int) -> None:
    (place / "memory.high").write_text(str(number(place / "memory.current") + room))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Median and greatest of each figure, a way and an arm a line, in Markdown."""
    head = ["grows by", "held by", "MiB/s", "past it, KiB", "in ms", "more, KiB", "not held"]
    lines = [head, ["---"] * len(head)]
    for way in WAYS:
        for arm in ARMS:
            mine = [row for row in rows if (row["way"], row["arm"]) == (way, arm)]
            figures = [f"{statistics.median(row['speed'] for row in mine) / MIB:.0f}"]
            for name, unit in (("over", 1024), ("took", 1e-3), ("grown", 1024)):
                values = [row[name] / unit for row in mine]
                figures.append(f"{statistics.median(values):.4g} (at most {max(values):.4g})")
            never = sum(not row["held"] for row in mine)
            lines.append([way, arm, *figures, f"{never} of {len(mine)}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
