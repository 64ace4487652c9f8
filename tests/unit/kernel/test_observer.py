"""The reading end of the observer, without a kernel: how long it keeps the event loop."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentcg.kernel import observer
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.bpf_records import SEEN_EXEC, SeenExecRecord
from agentcg.model.process import Seen, What

AGENT = 41


class Loaded:
    """What libbpf makes of an object: nothing happens in it."""

    def __enter__(self) -> "Loaded":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set(self, *_: object) -> None:
        pass

    def load(self, _log: Path) -> None:
        pass

    def update(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def map(self, _name: str) -> "Loaded":
        return self

    def programs(self) -> dict[str, Any]:
        return {}


class Ring:
    """One that never runs dry: each turn is cut short, after one record."""

    def __init__(self, _source: object, take: Callable[[bytes], None]) -> None:
        self.fd, self._writing = os.pipe()
        os.write(self._writing, b"more")
        self.take = take
        self.turns: list[float] = []

    def turn(self, seconds: float) -> bool:
        self.turns.append(seconds)
        self.take(record())
        return True

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._writing)


def record() -> bytes:
    args = b"make\0-j8\0"
    env = b"cut=1\0TRACEPARENT=x=y\0AGENTCG_CALLS=no\0junk\0AGENTCG_CALL=c\0"
    one = SeenExecRecord()
    one.seen.agent, one.seen.pid, one.seen.parent, one.seen.what = AGENT, 11, 10, SEEN_EXEC
    one.seen.args, one.seen.env = len(args), len(env)
    raw = bytearray(one)
    for at, said in ((SeenExecRecord.args.offset, args), (SeenExecRecord.env.offset, env)):
        raw[at : at + len(said)] = said
    return bytes(raw)


async def test_a_buffer_that_never_runs_dry_leaves_the_loop_to_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Seen] = []
    monkeypatch.setattr(Object, "open", lambda _: Loaded())
    monkeypatch.setattr(observer, "RingBuffer", Ring)
    monkeypatch.setattr(observer, "REST", 60)
    feed = observer.BpfFeed(seen.append, rate=1, total=1, log=tmp_path / "log")
    ring: Any = feed._ring
    try:
        for turns in (1, 2):
            feed.listen()  # which is what the end of the rest does
            for _ in range(100):
                await asyncio.sleep(0)
            assert ring.turns == [observer.TURN] * turns
    finally:
        feed.close()
    assert feed._resting is not None
    assert feed._resting.cancelled()
    said = {"TRACEPARENT": "x=y", "AGENTCG_CALL": "c"}
    assert seen[0] == Seen(What.EXEC, AGENT, 11, 10, 0, ("make", "-j8"), said)
