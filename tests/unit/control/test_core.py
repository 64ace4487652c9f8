"""Blocking work that is cancelled, and tasks that come in storms."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, cast

import pytest

from agentcg.control.core import Core
from agentcg.settings import Settings


@pytest.fixture
async def core() -> AsyncIterator[Core]:
    nothing: Any = None
    made = Core(Settings(), nothing, nothing, nothing, nothing, nothing, nothing)
    yield made
    await made.stop()


@pytest.mark.parametrize("lane", ["blocking", "reclaiming"])
async def test_a_cancelled_caller_learns_of_it_when_the_thread_is_done(
    core: Core, lane: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        go_on.wait(10)
        done.append("thread")

    async def caller() -> None:
        try:
            await cast(Any, getattr(core, lane))(work)
        finally:
            done.append("caller")

    task = asyncio.create_task(caller())
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0.02)
    assert done == []
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["thread", "caller"]


async def test_a_storm_of_requests_is_one_run_and_one_more(core: Core) -> None:
    runs: list[int] = []
    gate = asyncio.Event()

    async def work() -> None:
        runs.append(len(runs))
        await gate.wait()

    for _ in range(1000):
        core.coalesce("key", work)
        await asyncio.sleep(0)
    core.coalesce("other", work)
    await asyncio.sleep(0)
    assert runs == [0, 1]
    gate.set()
    await asyncio.sleep(0.02)
    assert runs == [0, 1, 2]
    core.coalesce("key", work)
    await asyncio.sleep(0.02)
    assert len(runs) == 4


async def test_the_run_after_is_what_was_asked_last(core: Core) -> None:
    runs: list[int] = []

    def work(number: int) -> Callable[[], Coroutine[object, object, None]]:
        async def run() -> None:
            runs.append(number)

        return run

    for number in range(5):
        core.coalesce("key", work(number))
    await asyncio.sleep(0.02)
    assert runs == [0, 4]


async def test_one_that_fails_does_not_end_the_next(core: Core) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        raise ValueError

    core.coalesce("key", work)
    core.coalesce("key", work)
    await asyncio.sleep(0.02)
    assert runs == [1, 1]
