"""Traces against the kernel's own figures: to the byte where it has them, and no burst is lost."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from agentcg.model.sample import Sample
from agentcg.model.trace import Trace, Window
from vm_tests.guest.sandbox import MIB, Sandbox, number, sandbox, until

pytestmark = pytest.mark.vm

TOUCHER = Path(__file__).parents[2] / "build/demo/toucher"
AGENTCG = "/opt/agentcg/bin/agentcg"
ALL = Window(points=2000)
# What the kernel charges ahead, a batch of 64 pages a CPU.
AHEAD = 64 * 4096 * 2


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox("trace") as made:
        yield made


def _course(box: Sandbox, key: str, *points: tuple[int, int, int]) -> Trace:
    """Run the toucher's schedule (ms, MiB, percent of a CPU) as a call; its trace."""
    text = "".join(f"{at} {mib} {cpu}\n" for at, mib, cpu in points)
    with box.run("--call-id", key, "--", str(TOUCHER), "own", stdin=subprocess.PIPE) as run:
        run.communicate(text, timeout=120)
    assert run.returncode == 0
    return box.client.call_trace(box.by_key(key).id, ALL)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peaks(samples: tuple[Sample, ...]) -> list[int]:
    return [s.usage.peak for s in samples if s.usage.peak is not None]


def _last(found: Trace) -> Sample:
    """The whole reading at the close; one of a tick may come after it."""
    return next(sample for sample in reversed(found.samples) if sample.full)


def _open(box: Sandbox) -> list[str]:
    return [v.call.id for v in box.client.calls() if v.call.session == box.name]


def _most(mib: int) -> float:
    """The most that a peak of so much may be told as."""
    return mib * MIB * 1.02 + AHEAD + MIB


def test_the_recorded_peak_of_a_staircase_is_the_kernels(box: Sandbox) -> None:
    found = _course(
        box, "stairs", (0, 40, 0), (3000, 120, 0), (6000, 300, 0), (9000, 80, 0), (12000, 80, 0)
    )
    assert found.call is not None
    assert found.call.outcome is not None
    peaks = _peaks(found.samples)
    assert max(peaks) == found.call.outcome.peak
    assert 300 * MIB <= max(peaks) <= _most(300)
    # Each step was stood on long enough to be seen as such.
    for mib in (40, 120, 300, 80):
        assert [s for s in found.samples if mib * MIB <= (s.usage.memory or 0) <= _most(mib)], mib
    assert [s.clock for s in found.samples] == sorted(s.clock for s in found.samples)
    assert found.lost == 0
    assert not found.cut


def test_bursts_shorter_than_a_tick_keep_their_number_and_height(box: Sandbox) -> None:
    # Lower than what was before them, so that the peak of all times says nothing of them.
    bursts = [(at + more, 20 if not more else 8, 0) for at in (3000, 4500, 6000) for more in (0, 1)]
    found = _course(box, "bursts", (0, 100, 0), (1000, 8, 0), *bursts, (7500, 8, 0))
    low = next(n for n, s in enumerate(found.samples) if (s.usage.peak or 0) > 90 * MIB)
    calm = next(
        n for n, s in enumerate(found.samples) if n > low and (s.usage.peak or 0) < 12 * MIB
    )
    end = _last(found)  # has the peak of all times
    peaks = _peaks(tuple(s for s in found.samples[calm:] if s is not end))
    high = [peak >= 20 * MIB for peak in peaks]
    assert sum(now and not before for before, now in pairwise([False, *high])) == 3, peaks
    assert max(peaks) <= _most(20)


def test_cpu_seconds_are_those_of_the_process(box: Sandbox) -> None:
    program = "import time\nwhile time.process_time() < 8: pass\nprint(time.process_time())"
    words = ("--call-id", "cpu", "--", sys.executable, "-c", program)
    before = _children_cpu()
    with box.run(*words, stdout=subprocess.PIPE) as run:
        used = float(run.communicate(timeout=120)[0])
    spent = _children_cpu() - before
    found = box.client.call_trace(box.by_key("cpu").id, ALL)
    cpu = [s.usage.cpu for s in found.samples if s.usage.cpu is not None]
    assert cpu == sorted(cpu)
    # What it said of itself before its end, and what it had cost in all, with who started it.
    assert used * 0.98 <= cpu[-1] <= spent * 1.02


def test_reclaim_and_limit_hits_and_reads_are_recorded(box: Sandbox) -> None:
    file = Path("/var/tmp/trace-test")
    try:
        file.write_bytes(bytes(150 * MIB))
        subprocess.run(["sync", str(file)], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("1")
        words = ("--call-id", "io", "--memory", "64MiB", "--", "cat", str(file))
        with box.run(*words, stdout=subprocess.DEVNULL) as run:
            assert run.wait(120) == 0
    finally:
        file.unlink(missing_ok=True)
    found = box.client.call_trace(box.by_key("io").id, ALL)
    last = _last(found).usage
    assert found.limit == 64 * MIB
    # Some charges the kernel does not let fail, and takes them back.
    assert max(_peaks(found.samples)) <= 64 * MIB + AHEAD
    assert (last.max_hits or 0) > 0
    assert (last.reclaimed or 0) >= 80 * MIB
    assert (last.read or 0) >= 140 * MIB


def test_a_session_is_plotted_while_a_call_runs(box: Sandbox) -> None:
    with box.run("--call-id", "s", "--", str(TOUCHER), "own", stdin=subprocess.PIPE) as run:
        assert run.stdin is not None
        run.stdin.write("0 150 20\n60000 150 20\n")
        run.stdin.close()
        leaf = until(lambda: next(box.calls.glob("c-*"), None), "the leaf")
        until(lambda: number(leaf / "memory.current") > 150 * MIB, "its memory")
        until(
            lambda: max(_peaks(box.client.session_trace("trace").samples), default=0) > 150 * MIB,
            "the session's samples",
        )
        for what in ("trace", leaf.name):
            done = subprocess.run(
                [AGENTCG, "trace", what], capture_output=True, text=True, check=True, timeout=60
            )
            print(done.stdout)
            assert "MiB" in done.stdout
            assert "call.started" in done.stdout
        run.kill()


def test_what_a_class_used_before_is_guaranteed_to_the_next_call_of_it() -> None:
    with sandbox("learn", budget={"guarantee": "400MiB"}) as box:
        for _ in range(20):
            with box.run("--", str(TOUCHER), "own", stdin=subprocess.PIPE) as run:
                run.communicate("0 100 0\n50 100 0\n", timeout=120)
            assert run.returncode == 0
        until(lambda: not _open(box), "all to close")
        with box.run("--call-id", "next", "--", str(TOUCHER), "own", stdin=subprocess.PIPE) as run:
            leaf = until(lambda: next(box.calls.glob("c-*"), None), "the leaf")
            kept = until(lambda: number(leaf / "memory.min"), "its guarantee")
            run.communicate("0 1 0\n", timeout=120)
        grant = box.by_key("next").grant
    assert grant.memory_guarantee == kept
    assert 100 * MIB <= kept <= _most(100)
    words = "learned: the median peak of 20 calls of 'toucher' in this session"
    assert grant.source == {"memory.guarantee": words}
