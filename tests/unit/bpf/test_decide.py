"""bpf/decide.h, compiled for this machine: how long a growing call waits, in every corner."""

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentcg.kernel.bpf_records import SECOND, Policy, Pool

REPO = Path(__file__).parents[3]
SOURCE = """
#include "decide.h"
__u64 room(struct pool *p, __u64 u, __u64 r, int prio) { return room_of(p, u, r, prio); }
__u64 credit(struct policy *p, __u64 c, __u64 t) { return credit_of(p, c, t); }
__u64 delay(struct policy *p, struct pool *q, __u64 r, __u64 o) { return delay_of(p, q, r, o); }
"""
PAGES = st.integers(0, 2**32)  # up to 16 TiB
PRIORITY = st.integers(-100, 100)
MAX_DELAY = 2 * SECOND


@pytest.fixture(scope="session")
def decide(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("decide")
    (folder / "decide.c").write_text(SOURCE)
    made = folder / "decide.so"
    flags = ["-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    command = ["gcc", "-Wall", "-Werror", *flags, "-I", str(REPO / "bpf"), "-o", str(made)]
    subprocess.run([*command, str(folder / "decide.c")], check=True)
    library = ctypes.CDLL(str(made))
    for name in ("room", "credit", "delay"):
        getattr(library, name).restype = ctypes.c_uint64
    return library


def room(decide: ctypes.CDLL, pool: Pool, usage: int, reserved: int, priority: int) -> int:
    words = (ctypes.c_uint64(usage), ctypes.c_uint64(reserved), priority)
    return int(decide.room(ctypes.byref(pool), *words))


def delay(decide: ctypes.CDLL, policy: Policy, pool: Pool, left: int, over: int) -> int:
    records = (ctypes.byref(policy), ctypes.byref(pool))
    return int(decide.delay(*records, ctypes.c_uint64(left), ctypes.c_uint64(over)))


def test_the_example_of_the_header(decide: ctypes.CDLL) -> None:
    mib = 256
    pool = Pool(1000 * mib, 800 * mib, 100 * mib)
    assert room(decide, pool, 760 * mib, 100 * mib, 0) == 90 * mib
    assert room(decide, pool, 850 * mib, 100 * mib, 0) == 0
    # The last of the band is for the highest priority alone.
    assert room(decide, pool, 950 * mib, 0, 100) == 50 * mib
    assert room(decide, pool, 900 * mib, 0, -100) == 0


@given(size=PAGES, usage=PAGES, reserved=PAGES, more=PAGES, low=PRIORITY, high=PRIORITY)
def test_room_shrinks_with_use_and_grows_with_priority(
    decide: ctypes.CDLL, size: int, usage: int, reserved: int, more: int, low: int, high: int
) -> None:
    assume(low <= high)
    pool = Pool(size, size * 8 // 10, size // 10)
    found = room(decide, pool, usage, reserved, low)
    assert found <= max(0, size - usage - reserved)
    assert room(decide, pool, usage + more, reserved, low) <= found
    assert room(decide, pool, usage, reserved, high) >= found


@given(size=PAGES, left=PAGES, over=PAGES, priority=PRIORITY)
def test_a_delay_is_bounded_and_without_room_the_longest(
    decide: ctypes.CDLL, size: int, left: int, over: int, priority: int
) -> None:
    pool = Pool(size, size * 8 // 10, size // 10)
    policy = Policy(max_delay=MAX_DELAY, priority=priority)
    assert delay(decide, policy, pool, 0, over) == MAX_DELAY
    found = delay(decide, policy, pool, left, over)
    assert found == 0 or 1_000_000 <= found <= MAX_DELAY


@given(size=PAGES, left=PAGES, over=PAGES, more=PAGES, priority=PRIORITY)
def test_a_delay_grows_with_need_and_shrinks_with_priority(
    decide: ctypes.CDLL, size: int, left: int, over: int, more: int, priority: int
) -> None:
    pool = Pool(size, size * 8 // 10, size // 10)
    policy = Policy(max_delay=MAX_DELAY, priority=priority)
    first = delay(decide, policy, pool, left, over)
    assert delay(decide, policy, pool, left, over + more) >= first
    assert delay(decide, policy, pool, max(0, left - more), over) >= first
    higher = Policy(max_delay=MAX_DELAY, priority=min(100, priority + 10))
    assert delay(decide, higher, pool, left, over) <= first


@given(
    burst=PAGES,
    refill=PAGES,
    credit=PAGES,
    rested=st.integers(0, 2**62),
    more=st.integers(0, 2**40),
)
def test_credit_comes_back_up_to_the_burst_and_no_further(
    decide: ctypes.CDLL, burst: int, refill: int, credit: int, rested: int, more: int
) -> None:
    policy = Policy(burst=burst, refill=refill)

    def after(nanoseconds: int) -> int:
        words = (ctypes.c_uint64(min(credit, burst)), ctypes.c_uint64(nanoseconds))
        return int(decide.credit(ctypes.byref(policy), *words))

    assert min(credit, burst) <= after(rested) <= burst
    assert after(rested + more) >= after(rested)
