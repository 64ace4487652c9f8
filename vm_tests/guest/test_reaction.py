"""How far a call grows that has no room, and that none waits for a lock that it has.

Bytes and states; the latencies that are printed (pytest -s) are for the notes.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.kernel import reaction
from vm_tests.guest.bed import MAX_DELAY, SLOTS, Bed, Leaf, bed, go, needs_t1
from vm_tests.guest.sandbox import MIB, field, number, scale, until

pytestmark = pytest.mark.vm

PARKED = scale(4, 60)
OPS = scale(25, 300)
FEW = scale(3, 30)  # where each may take a whole delay
BATCH = 256 << 10
FOLDER = Path("/root/reaction")
START = "import ctypes, fcntl, json, mmap, os, sys, threading, time\n"
GO = "print('ready', flush=True); sys.stdin.readline()\n"
# Touches memory by page faults alone: of so many threads, with this advice to madvise.
TOUCH = (
    START + "gate = threading.Event()\n"
    # Without THP, or khugepaged lets the interpreter itself grow by some hundred KiB.
    "ctypes.CDLL(None).prctl(41, int({advice} == 15), 0, 0, 0)\n"
    "def fill(area):\n"
    "    gate.wait()\n"
    "    ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(area)), 1, {size})\n"
    "areas = [mmap.mmap(-1, {size}) for _ in range({threads})]\n"
    "for area in areas: area.madvise({advice})\n"
    "workers = [threading.Thread(target=fill, args=(area,)) for area in areas]\n"
    "for worker in workers: worker.start()\n" + GO + "gate.set()"
)
WRITE = (
    START + "fd = os.open('/dev/shm/reaction', os.O_RDWR | os.O_CREAT | os.O_TRUNC)\n"
    "os.unlink('/dev/shm/reaction'); some = bytes(1 << 20)\n"
    + GO
    + "while True: os.write(fd, some)"
)
SIZE = 256 * MIB
HUGE, SMALL = 14, 15  # MADV_HUGEPAGE, MADV_NOHUGEPAGE
# What a way of growing takes, how many threads, and by how much each may miss the end of the pool.
WAYS = {
    "4 KiB pages": (TOUCH.format(size=SIZE, threads=1, advice=SMALL), 1, MIB),
    "4 threads": (TOUCH.format(size=SIZE, threads=4, advice=SMALL), 4, MIB),
    "THP": (TOUCH.format(size=SIZE, threads=1, advice=HUGE), 1, 3 * MIB),
    # One system call of 1 MiB, and stopped where it returns.
    "tmpfs": (WRITE, 1, 2 * MIB),
}
# What a low call does over and over, and a high one beside it, on what both share.
PATHS = (
    f"path = '{FOLDER}/shared'; n = 0; libc = ctypes.CDLL(None)\n"
    "page = mmap.mmap(os.open('/dev/shm/mutex', os.O_RDWR), 4096)\n"
    "mutex = ctypes.byref(ctypes.c_char.from_buffer(page))\n"
)
USERS = ("mutex", "flock")
MUTEX = Path("/dev/shm/mutex")
LOW = {
    # The inode's lock is held while the page cache is charged.
    "inode": "fd = os.open(path, os.O_RDWR | os.O_CREAT); some = bytes(1 << 18)\n"
    "while True: os.pwrite(fd, some, n << 18); n += 1; time.sleep(0.002)",
    # A handle on the journal is open while files are made and grow.
    "journal": "while True:\n"
    "    with open(f'{path}-{n}', 'wb') as f: f.write(bytes(1 << 18))\n"
    "    n += 1; time.sleep(0.002)",
    # Populating, and forking with what was populated, hold mmap_lock.
    "mmap_lock": "kept = []\n"
    "while True:\n"
    "    kept.append(mmap.mmap(-1, 1 << 18, flags=0x8022))\n"
    "    if (child := os.fork()) == 0: os._exit(0)\n"
    "    os.waitpid(child, 0)",
    # Locks of user space: held with whoever has them.
    "mutex": "attr = ctypes.create_string_buffer(64); libc.pthread_mutexattr_init(attr)\n"
    "libc.pthread_mutexattr_setpshared(attr, 1); libc.pthread_mutex_init(mutex, attr); kept = []\n"
    "while True:\n"
    "    libc.pthread_mutex_lock(mutex); kept.append(bytearray(b'x' * (1 << 18)))\n"
    "    libc.pthread_mutex_unlock(mutex); time.sleep(0.002)",
    "flock": "fd = os.open(path, os.O_RDWR | os.O_CREAT); kept = []\n"
    "while True:\n"
    "    fcntl.flock(fd, fcntl.LOCK_EX); kept.append(bytearray(b'x' * (1 << 18)))\n"
    "    fcntl.flock(fd, fcntl.LOCK_UN); time.sleep(0.002)",
}
HIGH = {
    "inode": "fd = os.open(path, os.O_RDWR | os.O_CREAT)\n"
    "def op(): os.pwrite(fd, b'x' * 4096, 0)\n",
    "journal": "def op():\n"
    "    fd = os.open(f'{path}-high', os.O_RDWR | os.O_CREAT)\n"
    "    os.write(fd, b'x'); os.fsync(fd); os.close(fd); os.unlink(f'{path}-high')\n",
    "mmap_lock": "def op(): open(f'/proc/{sys.argv[1]}/smaps_rollup').read()\n",
    "mutex": "def op(): libc.pthread_mutex_lock(mutex); libc.pthread_mutex_unlock(mutex)\n",
    "flock": "fd = os.open(path, os.O_RDWR | os.O_CREAT)\n"
    "def op(): fcntl.flock(fd, fcntl.LOCK_EX); fcntl.flock(fd, fcntl.LOCK_UN)\n",
}
TIMES = (
    "took = []\n"
    "for _ in range(int(sys.argv[2])):\n"
    "    at = time.monotonic(); op(); took.append(time.monotonic() - at); time.sleep(0.01)\n"
    "print(json.dumps(took), flush=True)"
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """The governor over a pool of its own."""
    needs_t1()
    FOLDER.mkdir(exist_ok=True)
    MUTEX.write_bytes(bytes(4096))
    with bed(tmp_path_factory.mktemp("log") / "verifier.log") as made:
        yield made
    MUTEX.unlink()


# Before the pool of the others is there.
def test_the_ramp_of_the_bench_is_held() -> None:
    needs_t1()
    found = reaction.grow("T1", reaction.WAYS["4 KiB pages"], 3.0)
    assert (found["held"], found["over"] < 4 * MIB) == (True, True)


@pytest.mark.parametrize("way", WAYS)
def test_a_call_stops_at_the_end_of_the_pool(pool: Bed, way: str) -> None:
    program, threads, miss = WAYS[way]
    low = pool.call(f"grows-{list(WAYS).index(way)}", priority=-100)
    with low.run(program) as process:
        end = pool.room(16 * MIB)
        go(process)
        low.held(threads)
        over, at = pool.used - end, time.monotonic()
        time.sleep(PARKED)
        crept, seconds = pool.used - end - over, time.monotonic() - at
        pool.room(1 << 40)
    print(json.dumps({"way": way, "over": over, "crept": crept, "seconds": seconds}))
    assert over <= threads * miss
    # One batch of each thread, or what its system call takes, in max_delay.
    step = {"THP": 2 * MIB, "tmpfs": MIB}.get(way, 0) + BATCH
    assert crept <= threads * step * (math.floor(seconds / MAX_DELAY) + 1)


def test_a_storm_of_threads_has_its_sessions_slots_and_no_more(pool: Bed) -> None:
    storm, other = pool.call("storm", priority=-100), pool.call("other", priority=-100)
    with storm.run(TOUCH.format(size=MIB, threads=4 * SLOTS, advice=SMALL)) as process:
        with other.run(TOUCH.format(size=SIZE, threads=1, advice=SMALL)) as alone:
            pool.room(MIB)
            go(process)
            storm.held(SLOTS)
            until(lambda: storm.tally.refused, "a thread without a slot")
            assert storm.tally.held == SLOTS
            go(alone)
            other.held()
        pool.room(1 << 40)
        assert process.wait(60) == 0
    assert storm.tally.held == 0


def _alone(_pool: Bed, _low: Leaf) -> None:
    """Nothing holds the low one."""


def _held(pool: Bed, low: Leaf) -> None:
    pool.room(4 * MIB)
    # A delay counts when it ends: from then on it is held again and again.
    until(lambda: low.throttled, "the end of a delay")


def _backstop(pool: Bed, low: Leaf) -> None:
    """The kernel's own brake alone: `memory.high` at the deepest step that the daemon writes."""
    (low.path / "memory.high").write_text(str(int(number(low.path / "memory.current") / 1.18)))
    pool.room(1 << 40)
    before = field(low.path / "memory.events", "high")
    until(lambda: field(low.path / "memory.events", "high") > before + 1, "the brake to act")


@pytest.mark.parametrize("lock", LOW)
def test_nobody_waits_for_a_lock_of_the_kernel_that_a_held_call_has(pool: Bed, lock: str) -> None:
    low = pool.call(f"low-{lock}", priority=-100)
    high = pool.call(f"high-{lock}", priority=100, guarantee=64 * MIB)
    figures = {}
    try:
        with low.run(START + PATHS + GO + LOW[lock]) as holder:
            go(holder)
            for name, hold in (("without", _alone), ("with", _held), ("backstop", _backstop)):
                hold(pool, low)
                before, at = low.throttled, time.monotonic()
                words = (str(holder.pid), str(FEW if lock in USERS else OPS))
                took = _times(high, START + PATHS + GO + HIGH[lock] + TIMES, *words)
                figures[name] = {
                    "p50": took[len(took) // 2],
                    "p99": took[len(took) * 99 // 100],
                    "max": took[-1],
                    "held": (low.throttled - before) / (time.monotonic() - at),
                }
    finally:
        pool.room(1 << 40)
        for path in FOLDER.iterdir():
            path.unlink()
    print(json.dumps({"lock": lock, **figures}))
    # The kernel's brake delays by 2 s at most as well, and may do so within a system call.
    assert figures["backstop"]["max"] < 5 * MAX_DELAY
    if lock in USERS:
        # Held with its holder, for one delay or two, and a busy host's time besides.
        assert figures["with"]["max"] < 5 * MAX_DELAY
    else:
        assert figures["with"]["max"] < MAX_DELAY / 2


def _times(leaf: Leaf, program: str, *words: str) -> list[float]:
    with leaf.run(program, *words) as process:
        go(process)
        assert process.stdout is not None
        return sorted(json.loads(process.stdout.readline()))
