"""Events to those who follow them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import cast

import pytest

from agentcg.model.event import Event, Kind
from agentcg.telemetry.bus import HISTORY, QUEUE, Bus


def everything(_: Event) -> bool:
    return True


def publish(bus: Bus, count: int, *, session: str | None = None) -> None:
    for _ in range(count):
        bus.publish(1.0, Kind.CALL_STARTED, session=session)


def follow(
    bus: Bus, after: int | None, wanted: Callable[[Event], bool] = everything
) -> AsyncGenerator[Event, None]:
    stream: AsyncIterator[Event] = bus.follow(after, wanted)
    return cast("AsyncGenerator[Event, None]", stream)


async def rest(stream: AsyncIterator[Event]) -> list[Event]:
    async with asyncio.timeout(30):
        return [event async for event in stream]


def readers(bus: Bus) -> int:
    return len(bus._readers)


def test_events_are_numbered_from_the_first_on() -> None:
    bus = Bus(first=7)
    event = bus.publish(1.5, Kind.CALL_OOM, session="s-1", call="c-1", text="x", data={"n": 1})
    assert event == Event(7, 1.5, Kind.CALL_OOM, "s-1", "c-1", "x", {"n": 1})
    assert bus.publish(2.0, Kind.DAEMON).seq == 8


async def test_a_new_reader_gets_what_comes_from_now_on() -> None:
    bus = Bus()
    publish(bus, 3)
    stream = follow(bus, None)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    publish(bus, 1)
    assert (await first).seq == 4
    await stream.aclose()


async def test_a_reader_resumes_behind_the_event_it_saw_last() -> None:
    bus = Bus()
    publish(bus, 5)
    stream = follow(bus, 3)
    first = await anext(stream)
    publish(bus, 1)
    bus.close()
    assert [first.seq, *[e.seq for e in await rest(stream)]] == [4, 5, 6]


async def test_a_reader_resumes_with_all_that_is_remembered() -> None:
    bus = Bus()
    publish(bus, HISTORY)
    bus.close()
    assert [e.seq for e in await rest(follow(bus, 0))] == list(range(1, HISTORY + 1))


async def test_a_reader_that_resumes_too_late_is_told_how_much_it_lost() -> None:
    bus = Bus()
    publish(bus, HISTORY + 10)
    bus.close()
    lost, *events = await rest(follow(bus, 4))
    assert lost.kind is Kind.LOST
    assert (lost.seq, lost.data, lost.text) == (
        10,
        {"lost": 6},
        "6 events were lost to this reader",
    )
    assert [e.seq for e in events] == list(range(11, HISTORY + 11))


async def test_a_reader_from_before_a_restart_of_the_numbers_gets_what_is_new() -> None:
    bus = Bus()
    publish(bus, 2)
    stream = follow(bus, 5000)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    publish(bus, 1)
    assert (await first).seq == 3
    await stream.aclose()


async def test_a_slow_reader_is_bounded_and_told_what_it_lost() -> None:
    bus = Bus()
    stream = follow(bus, None)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    publish(bus, 1)
    await first
    publish(bus, QUEUE + 100)
    (queue,) = bus._readers
    assert queue.qsize() == QUEUE
    lost = await anext(stream)
    assert (lost.kind, lost.seq, lost.data) == (Kind.LOST, 101, {"lost": 100})
    bus.close()
    seen = [e for e in await rest(stream) if e.kind is not Kind.LOST]
    assert [e.seq for e in seen] == list(range(102, QUEUE + 102))


async def test_a_reader_that_is_slow_while_it_catches_up_is_told_as_well() -> None:
    bus = Bus()
    publish(bus, 10)
    stream = follow(bus, 0)
    assert (await anext(stream)).seq == 1
    publish(bus, QUEUE + 5)
    bus.close()
    events = await rest(stream)
    assert [e.seq for e in events[:9]] == list(range(2, 11))
    assert (events[9].kind, events[9].data) == (Kind.LOST, {"lost": 6})
    assert events[-1].seq == QUEUE + 15


async def test_events_that_are_not_wanted_are_no_gap() -> None:
    bus = Bus()
    publish(bus, 3, session="s-1")
    publish(bus, 3, session="s-2")
    publish(bus, 1, session="s-1")
    bus.close()
    events = await rest(follow(bus, 0, lambda e: e.session == "s-1"))
    assert [e.seq for e in events] == [1, 2, 3, 7]


async def test_two_readers_do_not_disturb_each_other() -> None:
    bus = Bus()
    publish(bus, 3)
    one, other = follow(bus, 0), follow(bus, 0)
    assert (await anext(one)).seq == 1
    assert [(await anext(other)).seq for _ in range(3)] == [1, 2, 3]
    assert (await anext(one)).seq == 2
    await one.aclose()
    await other.aclose()


async def test_close_ends_every_reader_also_one_that_waits_and_one_that_is_full() -> None:
    bus = Bus()
    full = follow(bus, 0)
    publish(bus, 1)
    await anext(full)
    waiting = asyncio.ensure_future(rest(follow(bus, None)))
    await asyncio.sleep(0)
    publish(bus, 2 * QUEUE)
    bus.close()
    publish(bus, 2 * QUEUE)
    assert len(await waiting) == QUEUE
    assert len(await rest(full)) == QUEUE
    assert readers(bus) == 0


async def test_a_reader_that_comes_after_close_gets_what_it_missed_and_ends() -> None:
    bus = Bus()
    publish(bus, 2)
    bus.close()
    assert [e.seq for e in await rest(follow(bus, 1))] == [2]
    assert await rest(follow(bus, None)) == []
    assert readers(bus) == 0


async def test_a_reader_that_leaves_early_is_forgotten() -> None:
    bus = Bus()
    publish(bus, 3)
    stream = follow(bus, 0)
    async for event in stream:
        assert readers(bus) == 1
        if event.seq == 2:
            break
    await stream.aclose()
    assert readers(bus) == 0


async def test_a_reader_that_is_cancelled_is_forgotten() -> None:
    bus = Bus()
    task = asyncio.create_task(rest(follow(bus, None)))
    await asyncio.sleep(0)
    assert readers(bus) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert readers(bus) == 0


async def test_a_reader_that_never_began_is_not_kept() -> None:
    bus = Bus()
    await follow(bus, 0).aclose()
    assert readers(bus) == 0
