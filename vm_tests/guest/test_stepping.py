"""memory.high under the daemon (tier T0): low priority is held up, high runs through, nobody dies.

One story, in order: each daemon's start costs seconds.
"""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from vm_tests.guest.containers import POOL
from vm_tests.guest.governed import CONFIG, POOL_SIZE, grow, killed_for_memory, tier_of
from vm_tests.guest.sandbox import MIB, Sandbox, field, number, sandbox, until

pytestmark = pytest.mark.vm

STEPS = "\ngovernor: {enabled: true, bpf: false}\n"


@dataclass
class Pair:
    """A session of low priority and one of high, in a small pool that they do not fit into."""

    low: Sandbox
    high: Sandbox
    before: str


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    before = CONFIG.read_text()
    _pool(str(POOL_SIZE))
    high = {"priority": 50, "budget": {"guarantee": "200MiB"}}
    try:
        with sandbox("s-low", priority=-50) as one, sandbox("s-high", **high) as two:
            yield Pair(one, two, before)
    finally:
        CONFIG.write_text(before)
        _pool("infinity")


def test_without_steps_somebody_is_killed(pair: Pair) -> None:
    killed = killed_for_memory()
    with _high(pair, "run-0") as run, _grow(pair.low, 600, "--call-id", "hog-0") as hog:
        until(lambda: hog.poll() is not None or run.poll() is not None, "a kill", 60)
    assert killed_for_memory() > killed
    assert _knob(pair.low) == _knob(pair.high) == "max"


def test_with_steps_the_low_one_waits_and_the_high_one_runs_through(pair: Pair) -> None:
    CONFIG.write_text(CONFIG.read_text() + STEPS)
    _systemctl("restart")
    until(lambda: tier_of(pair.low.client) == "T0", "the daemon", 120)
    killed = killed_for_memory()
    with _high(pair, "run") as run, _grow(pair.low, 290, "--call-id", "hog") as hog:
        held = _held_at(pair.low)
        assert held < POOL_SIZE - 180 * MIB
        grants = {v.call.intent.key: v.call.grant for v in pair.low.client.calls()}
        assert grants["hog"].enforced["memory.throttle"].startswith("ok: by memory.high")
        # A daemon that is killed leaves the step where it is, and its successor takes it up.
        _systemctl("kill", "-s", "KILL")
        assert _knob(pair.low) != "max"
        until(lambda: tier_of(pair.low.client) == "T0", "the next daemon", 120)
        assert _held_at(pair.low) < POOL_SIZE - 180 * MIB
        run.communicate("150\n", timeout=60)
        assert run.returncode == 0
        # Only now is there room: the hog, which nobody killed, comes to its end.
        assert hog.stdout is not None
        assert hog.stdout.readline() == "grown\n"
        hog.communicate("0\n", timeout=60)
        assert hog.returncode == 0
    assert killed_for_memory() == killed
    assert pair.high.outcome("run").held == 0
    outcome = pair.low.outcome("hog")
    assert outcome.held is not None
    assert outcome.held > 0
    until(lambda: _knob(pair.low) == _knob(pair.high) == "max", "the knobs to be back")


def test_where_limits_fit_no_high_is_written(pair: Pair) -> None:
    events = pair.low.calls / "memory.events.local"
    before = field(events, "high")
    with _grow(pair.low, 150, "--call-id", "fits", "--memory", "200MiB") as fits:
        assert fits.stdout is not None
        assert fits.stdout.readline() == "grown\n"
        assert _knob(pair.low) == "max"
        fits.communicate("0\n", timeout=60)
    assert field(events, "high") == before


def test_a_clean_stop_lets_everybody_go(pair: Pair) -> None:
    with _high(pair, "run-2"), _grow(pair.low, 600, "--call-id", "hog-2") as hog:
        _held_at(pair.low)
        hog.send_signal(signal.SIGSTOP)
        _systemctl("stop")
        assert _knob(pair.low) == _knob(pair.high) == "max"
        hog.kill()
        CONFIG.write_text(pair.before)
        _systemctl("start")
        until(lambda: tier_of(pair.low.client) == "T0", "the daemon as it was", 120)


@contextlib.contextmanager
def _grow(box: Sandbox, mib: int, *options: str) -> "Iterator[subprocess.Popen[str]]":
    with grow(box, mib, *options) as process:
        yield process
        process.kill()


@contextlib.contextmanager
def _high(pair: Pair, key: str) -> "Iterator[subprocess.Popen[str]]":
    """A call that uses little of its guarantee so far."""
    with _grow(pair.high, 10, "--call-id", key, "--guarantee", "180MiB") as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "grown\n"
        yield run


def _held_at(box: Sandbox) -> int:
    """Wait until its calls are above their memory.high; what they use then."""

    def held() -> bool:
        high = _knob(box)
        return high != "max" and number(box.calls / "memory.current") > int(high)

    until(held, "the low one to be held up", 60)
    return number(box.calls / "memory.current")


def _knob(box: Sandbox) -> str:
    return (box.calls / "memory.high").read_text().strip()


def _systemctl(verb: str, *words: str) -> None:
    subprocess.run(["systemctl", verb, *words, "agentcg.service"], check=True, timeout=180)


def _pool(limit: str) -> None:
    subprocess.run(
        ["systemctl", "set-property", "--runtime", POOL.name, f"MemoryMax={limit}"], check=True
    )
