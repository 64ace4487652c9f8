"""Calls that may hang."""

import asyncio
import threading

import pytest

from agentcg.control import bounded
from agentcg.errors import UnavailableError


async def test_what_hangs_is_not_called_again_until_it_returns() -> None:
    gate = threading.Event()
    one = bounded.Bounded("it")
    with pytest.raises(UnavailableError, match="did not answer"):
        await one.do(gate.wait, 0.01)
    with pytest.raises(UnavailableError, match="hangs"):
        await one.do(gate.wait, 10.0)
    gate.set()
    while one._last is not None and not one._last.done():
        await asyncio.sleep(0.001)
    assert await one.do(lambda: 5, 10.0) == 5
    with pytest.raises(UnavailableError, match="ZeroDivisionError"):
        await one.do(lambda: 1 // 0, 10.0)


async def test_one_whose_caller_was_cancelled_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, one = threading.Event(), bounded.Bounded("it")
    first = asyncio.create_task(one.do(gate.wait, 60.0))
    while one._last is None:
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(one.do(lambda: 5, 60.0))
    await asyncio.sleep(0)
    gate.set()
    assert await second == 5

    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, pytest.raises(UnavailableError, match="not called"):
        patch.setattr(threading.Thread, "start", fails)
        await one.do(lambda: 5, 60.0)
    assert await one.do(lambda: 5, 60.0) == 5
