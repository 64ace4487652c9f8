"""Processes of agents by the process connector, where BPF is missing: the same as kernel/observer.

The kernel tells of every process of the host, so it is asked here whose they are, in a thread of
its own. What an exec was given is in /proc only, and a process can keep a reader of that waiting
for ever: then it is seen without (see patience). One that is gone before its /proc is read is not
seen. Import it where needed only: it takes 0.3 s.
"""

import asyncio
import logging
import select
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from pyroute2.netlink.connector.cn_proc import (  # type: ignore[import-untyped]
    PROC_EVENT_EXEC,
    PROC_EVENT_EXIT,
    PROC_EVENT_FORK,
)

from agentcg.errors import AgentcgError
from agentcg.kernel import connector, procfs, seeing
from agentcg.kernel.observer import REST, TURN
from agentcg.kernel.patience import Patience
from agentcg.model.process import Seen, What

log = logging.getLogger("agentcg")

NAME = "by the process connector"
# Whatever goes on, so many messages are taken in a turn, and so long a turn takes at least.
_TURN, _TURN_SECONDS = 1000, 0.05
_INSIDE = 65536
_WAITING = 4096  # for a turn on the loop
_TOGETHER = 0  # is no cgroup's id


class ConnectorFeed:
    """Hands over what agents' processes do, as it happens."""

    def __init__(
        self, take: Callable[[Seen], None], patience: Patience, *, rate: int, total: int
    ) -> None:
        """Subscribe; `take` runs in the thread of the loop that `listen` is called in.

        Raises:
            UnsupportedError: with the reason, where the connector cannot be reached.
        """
        self._take = take
        self._rate, self._total = rate, total
        self._socket = connector.subscribed(PROC_EVENT_FORK | PROC_EVENT_EXEC | PROC_EVENT_EXIT)
        self._patience = patience
        self._wake, self._woken = socket.socketpair()
        self._waiting: deque[Seen] = deque()
        self._agents: dict[str, int] = {}
        self._inside: OrderedDict[int, int] = OrderedDict()
        self._counts: dict[int, int] = {}
        self._second = self._told = 0
        self.lost = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="processes", daemon=True)

    def listen(self) -> None:
        """Begin, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def watch(self, agent: int, path: str, pids: Iterable[int]) -> None:
        """Watch a cgroup, by its path below the root, and all below it; `pids` are in there."""
        self._agents[path] = agent
        self._inside.update(dict.fromkeys(pids, agent))

    def forget(self, agent: int) -> None:
        """Watch it no more."""
        self._agents = {path: one for path, one in self._agents.items() if one != agent}

    def close(self) -> None:
        """Unsubscribe; what was not handed over by now is not."""
        self._loop = None
        self._wake.close()
        if self._thread.is_alive():
            self._thread.join(1.0)
        self._waiting.clear()
        if not self._thread.is_alive():
            self._socket.close()
            self._woken.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._woken, select.POLLIN | select.POLLHUP)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._woken.fileno() in ready:
                return
            begun = time.monotonic()
            if self._turn():
                time.sleep(max(0.0, begun + _TURN_SECONDS - time.monotonic()))

    def _turn(self) -> bool:
        """Take what is there, up to a bound; whether that was reached."""
        for _ in range(_TURN):
            try:
                data = connector.received(self._socket)
                if data is None:
                    return False
                self._message(data)
            except OverflowError:
                self.lost += 1
            except Exception:
                # The thread is all there is: without it nobody would be seen, and nobody told.
                self.lost += 1
                if (second := int(time.monotonic())) != self._told:
                    self._told = second
                    log.exception("a message of the process connector is passed over")
                return True
        return True

    def _message(self, data: bytes) -> None:
        kind, found = connector.what(data), connector.numbers(data, 2)
        if kind == PROC_EVENT_FORK and (four := connector.numbers(data, 4)):
            self._forked(four[1], four[2], four[3])
        elif kind == PROC_EVENT_EXEC and found:
            self._executed(found[1])
        elif kind == PROC_EVENT_EXIT and found and found[0] == found[1]:
            agent = self._inside.pop(found[0], None)
            if agent is not None:
                self._tell(Seen(What.EXIT, agent, found[0]))

    def _forked(self, parent: int, pid: int, process: int) -> None:
        agent = self._inside.get(parent)
        if agent is None or pid != process:  # a thread
            self._inside.pop(pid, None)
            return
        self._inside[pid] = agent
        # Who has children is the last to be forgotten.
        self._inside.move_to_end(parent)
        while len(self._inside) > _INSIDE:
            self._inside.popitem(last=False)
        self._tell(Seen(What.FORK, agent, pid, parent))

    def _executed(self, pid: int) -> None:
        agent = self._agent_of(pid)
        if agent is None:
            if self._inside.pop(pid, None) is not None:
                # It has left, and so perhaps has the one that started it.
                parent = _parent(pid)
                if self._agent_of(parent) is None:
                    self._inside.pop(parent, None)
            return
        self._inside[pid] = agent
        if self._within_rate(agent):
            self._tell_exec(agent, pid)

    def _tell_exec(self, agent: int, pid: int) -> None:
        seen = seeing.look(self._patience, agent, pid)
        if seen is not None:
            self._send(seen)

    def _agent_of(self, pid: int) -> int | None:
        if not self._agents:
            return None
        try:
            path = PurePosixPath(procfs.cgroup_path(pid).strip("/"))
        except AgentcgError:
            return None
        above = (self._agents.get(str(one)) for one in (path, *path.parents))
        return next((agent for agent in above if agent is not None), None)

    def _tell(self, seen: Seen) -> None:
        if self._within_rate(seen.agent):
            self._send(seen)

    def _within_rate(self, agent: int) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._counts.clear()
        mine, together = self._counts.get(agent, 0), self._counts.get(_TOGETHER, 0)
        if mine >= self._rate or together >= self._total:
            self.lost += 1
            return False
        self._counts |= {agent: mine + 1, _TOGETHER: together + 1}
        return True

    def _send(self, seen: Seen) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if len(self._waiting) >= _WAITING:
            self.lost += 1
            return
        self._waiting.append(seen)
        # Asked after it is in there: whoever emptied the queue before has not seen it.
        if len(self._waiting) == 1:
            loop.call_soon_threadsafe(self._hand_over, loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the loop: for a turn, then a rest if there is more, as kernel/observer does."""
        until = time.monotonic() + TURN
        try:
            while self._waiting and time.monotonic() < until:
                self._take(self._waiting.popleft())
        finally:
            if self._waiting:
                loop.call_later(REST, self._hand_over, loop)


def _parent(pid: int) -> int:
    try:
        return procfs.parent(pid)
    except AgentcgError:
        return 0
