"""Turns of libcuda's guard: each follows the one before, as there are news or time has passed."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from agentcg.control import gpu_gates
from agentcg.control.core import Core


@pytest.fixture
def ring() -> Iterator[tuple[int, int]]:
    """What the guard reads, and what tells it."""
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def guarded(ring: tuple[int, int], turn: Callable[[float], list[Any]]) -> Any:
    return SimpleNamespace(fd=ring[0], scan=lambda: None, turn=turn)


async def test_a_turn_that_fails_is_not_the_last(
    core: Core, ring: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_gates, "_EVERY", 0.01)
    turns, again = [OSError("no such file"), RuntimeError("a defect")], asyncio.Event()

    def turn(_now: float) -> list[Any]:
        if turns:
            raise turns.pop()
        loop.call_soon_threadsafe(again.set)
        return []

    loop = asyncio.get_running_loop()
    following = asyncio.create_task(gpu_gates.follow(core, guarded(ring, turn)))
    async with asyncio.timeout(30):
        await again.wait()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_copies_are_looked_for_whatever_news_there_are(
    core: Core, ring: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_gates, "_EVERY", 0.05)
    os.write(ring[1], b"x")  # which nobody reads
    loop, again = asyncio.get_running_loop(), asyncio.Event()
    scans = [None, OSError("no such process")]

    def scan() -> None:
        if not scans:
            loop.call_soon_threadsafe(again.set)
        elif error := scans.pop():
            raise error

    guard: Any = SimpleNamespace(fd=ring[0], scan=scan, turn=lambda _: [])
    following = asyncio.create_task(gpu_gates.follow(core, guard))
    async with asyncio.timeout(30):
        await again.wait()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_news_that_wait_for_their_turn_are_heard_once(
    core: Core, ring: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, begun, end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    heard: list[int] = []
    add = loop.add_reader

    def turn(_now: float) -> list[Any]:
        loop.call_soon_threadsafe(begun.set)
        end.wait(30)
        return []

    def added(fd: int, callback: Callable[[], object]) -> None:
        def hear() -> None:
            heard.append(fd)
            callback()

        add(fd, hear)

    monkeypatch.setattr(loop, "add_reader", added)
    os.write(ring[1], b"x")  # which nobody reads
    following = asyncio.create_task(gpu_gates.follow(core, guarded(ring, turn)))
    async with asyncio.timeout(30):
        await begun.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert heard == [ring[0]]
    end.set()
    async with asyncio.timeout(30):
        while len(heard) == 1:  # the next turn hears of it anew
            await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
