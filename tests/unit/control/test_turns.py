"""Whose turn it is to read traces."""

import asyncio
from dataclasses import dataclass, field

import pytest

from agentcg.control.turns import LEAST, MOST, REST, Turns
from agentcg.errors import LimitError
from agentcg.model.ids import SessionId

A, B = SessionId("s-a"), SessionId("s-b")


@dataclass
class Clock:
    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def turns(self) -> Turns:
        return Turns(self, self.sleep)


async def ask(turns: Turns, who: SessionId | None, takes: asyncio.Event | None = None) -> None:
    async with turns.turn(who):
        if takes is not None:
            await takes.wait()


async def test_of_a_session_one_query_is_in_flight_and_the_administrator_waits_for_none() -> None:
    turns, done = Clock().turns(), asyncio.Event()
    first = asyncio.ensure_future(ask(turns, A, done))
    await asyncio.sleep(0.01)
    with pytest.raises(LimitError, match="s-a: one query"):
        await ask(turns, A)
    other = asyncio.ensure_future(ask(turns, B))
    async with asyncio.timeout(30):
        await ask(turns, None)
    assert not other.done()
    done.set()
    await asyncio.gather(first, other)


@pytest.mark.parametrize(("took", "rest"), [(0.0, LEAST), (1.0, REST), (60.0, MOST)])
async def test_a_session_rests_by_what_its_query_took(took: float, rest: float) -> None:
    clock = Clock()
    turns = clock.turns()
    async with turns.turn(A):
        clock.now += took
    clock.now += 0.1
    await ask(turns, B)
    await ask(turns, A)
    assert clock.slept == pytest.approx([0.0, 0.0, rest - 0.1])
    clock.now += 20.0
    await ask(turns, A)
    assert clock.slept[-1] == 0.0
    assert len(turns._rests) == 1


async def test_one_that_fails_rests_too_and_blocks_nobody() -> None:
    clock = Clock()
    turns = clock.turns()
    with pytest.raises(ZeroDivisionError):
        async with turns.turn(A):
            raise ZeroDivisionError
    await ask(turns, A)
    await ask(turns, B)
    assert clock.slept == [0.0, LEAST, 0.0]
