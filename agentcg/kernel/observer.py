"""Processes of agents by BPF: the reading end of bpf/observer.bpf.c, which says how it works.

Numbers are those of the initial pid namespace. Nothing is pinned: when the daemon is gone nobody
observes. However much there is to hand over, the event loop is kept for a turn only, then left to
the others for longer than that; what has no room meanwhile is dropped in the kernel, and counted.
"""

import asyncio
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from agentcg.errors import BpfError
from agentcg.kernel.bpf_link import Link
from agentcg.kernel.bpf_map import RingBuffer
from agentcg.kernel.bpf_object import Object, shipped
from agentcg.kernel.bpf_records import (
    SECOND,
    SEEN_EXEC,
    SEEN_EXIT,
    SEEN_FORK,
    SeenExecRecord,
    SeenRecord,
    Watched,
)
from agentcg.model.process import Seen, What, env_of, words_of

NAME = "by BPF"
_WHAT = {SEEN_FORK: What.FORK, SEEN_EXEC: What.EXEC, SEEN_EXIT: What.EXIT}
_EVERYBODY = 0
TURN, REST = 0.005, 0.010  # seconds


class BpfFeed:
    """Hands over what agents' processes do, as it happens."""

    def __init__(self, take: Callable[[Seen], None], *, rate: int, total: int, log: Path) -> None:
        """Load and attach; `take` runs in the running loop's thread. Blocks for up to a second.

        Raises:
            BpfError: with libbpf's, or the verifier's, reason.
        """
        self._take = take
        self._links: list[Link] = []
        self._forgotten = 0
        self._ticks = SECOND // os.sysconf("SC_CLK_TCK")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resting: asyncio.TimerHandle | None = None
        with Object.open(shipped("observer")) as one:
            one.set("rate", struct.pack("=I", rate))
            one.set("total", struct.pack("=I", total))
            one.load(log)
            self._watched = one.map("watched")
            try:
                self._watched.update(_key(_EVERYBODY), bytes(Watched()))
                self._attach(one)
            except BaseException:
                self._let_go()
                raise

    def listen(self) -> None:
        """Begin, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ring.fd, self._turn, self._loop)

    def watch(self, agent: int, path: str, pids: Iterable[int]) -> None:
        """Watch a cgroup and all below it."""
        del path, pids  # the kernel knows them
        if self._watched.lookup(_key(agent)) is None:
            self._watched.update(_key(agent), bytes(Watched()))

    def forget(self, agent: int) -> None:
        """Watch it no more."""
        self._forgotten += self._dropped(_key(agent))
        self._watched.delete(_key(agent))

    @property
    def lost(self) -> int:
        """Records that were not sent, so far: over the rate, or for want of room."""
        return self._forgotten + sum(map(self._dropped, self._watched.keys()))

    def close(self) -> None:
        """Detach."""
        if self._resting is not None:
            self._resting.cancel()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._ring.fd)
        self._ring.close()
        self._let_go()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._ring.turn(TURN):
            loop.remove_reader(self._ring.fd)
            self._resting = loop.call_later(REST, self.listen)

    def _attach(self, one: Object) -> None:
        with one.map("seen_events") as events:
            self._ring = RingBuffer(events, self._heard)
        try:
            self._links += [program.attach() for program in one.programs().values()]
        except BaseException:
            self._ring.close()
            raise

    def _let_go(self) -> None:
        for link in self._links:
            link.close()
        self._links.clear()
        self._watched.close()

    def _dropped(self, key: bytes) -> int:
        try:
            raw = self._watched.lookup(key)
        except BpfError:
            return 0
        return 0 if raw is None else int(Watched.from_buffer_copy(raw).dropped)

    def _heard(self, record: bytes) -> None:
        head = SeenRecord.from_buffer_copy(record)
        words: tuple[str, ...] = ()
        env: dict[str, str] = {}
        if head.what == SEEN_EXEC:
            args, rest = SeenExecRecord.args.offset, SeenExecRecord.env.offset
            words = words_of(record[args : args + head.args])
            env = env_of(record[rest : rest + head.env])
        start = head.start // self._ticks
        what = _WHAT[head.what]
        self._take(Seen(what, head.agent, head.pid, head.parent, start, words, env))


def _key(cgroup_id: int) -> bytes:
    return cgroup_id.to_bytes(8, "little")
