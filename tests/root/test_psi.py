"""PSI triggers on a real cgroup."""

import asyncio
import os
from collections.abc import Callable

import pytest

from agentcg.errors import CgroupGoneError, KnobMissingError, UnsupportedError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.psi import Trigger

pytestmark = pytest.mark.root
Spawn = Callable[..., int]


async def test_fires_under_cpu_stall_and_ends_with_the_cgroup(
    cgroup_root: CgroupDir, spawn: Spawn
) -> None:
    with (
        cgroup_root.make("a") as a,
        Trigger.on(a, "cpu.pressure", stall_us=10_000, window_us=2_000_000) as trigger,
    ):
        # More spinners than CPUs wait for one another.
        for _ in range(2 * len(_cpus())):
            a.move(spawn("sh", "-c", "while :; do :; done"))
        async with asyncio.timeout(30):
            await anext(trigger)
        a.kill()
        async with asyncio.timeout(30):
            while a.populated():
                await asyncio.sleep(0.01)
        rest = asyncio.create_task(_count(trigger))
        await asyncio.sleep(0.05)
        cgroup_root.remove_child("a")
        async with asyncio.timeout(30):
            assert await rest <= 3


async def test_close_ends_a_waiting_iteration(cgroup_root: CgroupDir) -> None:
    trigger = Trigger.on(cgroup_root, "memory.pressure", stall_us=150_000, window_us=2_000_000)
    waiting = asyncio.create_task(_count(trigger))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    trigger.close()
    async with asyncio.timeout(30):
        assert await waiting == 0


async def test_on_a_gone_cgroup(cgroup_root: CgroupDir) -> None:
    with cgroup_root.make("a") as a:
        with pytest.raises(KnobMissingError):
            Trigger.on(a, "no.pressure", stall_us=1, window_us=2_000_000)
        cgroup_root.remove_child("a")
        with pytest.raises(CgroupGoneError):
            Trigger.on(a, "memory.pressure", stall_us=1, window_us=2_000_000)


async def test_short_windows_need_privilege(cgroup_root: CgroupDir) -> None:
    try:
        Trigger.on(cgroup_root, "memory.pressure", stall_us=150_000, window_us=500_000).close()
    except UnsupportedError as error:
        assert "CAP_SYS_RESOURCE" in error.message  # noqa: PT017


def _cpus() -> set[int]:

    return os.sched_getaffinity(0)


async def _count(trigger: Trigger) -> int:
    seen = 0
    async for _ in trigger:
        seen += 1
    return seen
