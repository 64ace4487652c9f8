"""The process connector as a feed: whose a message is, what it becomes, and how much of it."""

import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentcg.errors import ProcessGoneError
from agentcg.kernel import connector, procfs
from agentcg.kernel.observer import REST, TURN
from agentcg.kernel.patience import Patience
from agentcg.kernel.proc_feed import ConnectorFeed
from agentcg.model.process import Seen, What
from tests.unit.kernel.test_cn_proc import Queue

FORK, EXEC, EXIT = 1, 2, 0x80000000
AGENT = 41


def message(kind: int, *members: int) -> bytes:
    event = struct.pack(f"=IIQ{len(members)}I", kind, 0, 1, *members)
    body = struct.pack("=IIIIHH", 1, 1, 0, 0, len(event), 0) + event
    return struct.pack("=IHHII", 16 + len(body), 3, 0, 0, 0) + body


class Loop:
    """It calls at once, and what is to come later when it is told to."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[[Any], None]]] = []

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, what: Callable[[Any], None], loop: Any) -> None:
        what(loop)

    def call_later(self, after: float, what: Callable[[Any], None], _loop: Any) -> None:
        self.later.append((after, what))


class Feed:
    """A feed on a queue, in a host where `where` says whose cgroup a process is in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, rate: int) -> None:
        self.seen: list[Seen] = []
        self.where = {10: "/s/agentcg.agent", 11: "/s/agentcg.agent"}
        self.queue = Messages()
        monkeypatch.setattr(connector, "subscribed", lambda _: self.queue)
        monkeypatch.setattr(procfs, "cgroup_path", self._where)
        monkeypatch.setattr(procfs, "parent", lambda _: 10)
        monkeypatch.setattr(procfs, "start_time", lambda pid: pid * 100)
        monkeypatch.setattr(procfs, "arguments", lambda *_: b"make\0-j8\0")
        monkeypatch.setattr(
            procfs, "environment", lambda *_: b"A=b\0TRACEPARENT=b=c\0junk\0AGENTCG_CALL=\xff\0"
        )
        self.feed = ConnectorFeed(self.seen.append, Patience(), rate=rate, total=2 * rate)
        self.feed._loop = Loop()  # type: ignore[assignment]
        self.feed.watch(AGENT, "s/agentcg.agent", [10])

    def _where(self, pid: int) -> str:
        try:
            return self.where[pid]
        except KeyError:
            raise ProcessGoneError(pid) from None

    def hears(self, *items: bytes | OSError) -> list[Seen]:
        self.queue.items += items
        assert not self.feed._turn()
        seen, self.seen[:] = [*self.seen], []
        return seen


class Messages(Queue):
    """They may be closed."""

    def close(self) -> None:
        self.items.clear()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Feed]:
    made = Feed(monkeypatch, rate=getattr(request, "param", 100))
    yield made
    made.feed.close()


def test_a_command_from_its_fork_to_its_end(host: Feed) -> None:
    fork, made, gone = host.hears(
        message(FORK, 10, 10, 11, 11), message(EXEC, 11, 11), message(EXIT, 11, 11, 0, 17, 10, 10)
    )
    assert fork == Seen(What.FORK, AGENT, 11, 10)
    env = {"TRACEPARENT": "b=c", "AGENTCG_CALL": "\\xff"}
    assert made == Seen(What.EXEC, AGENT, 11, 10, 1100, ("make", "-j8"), env)
    assert gone == Seen(What.EXIT, AGENT, 11)


def test_threads_and_other_peoples_processes_are_not_told(host: Feed) -> None:
    host.where[50] = "/elsewhere"
    assert not host.hears(
        message(FORK, 10, 10, 12, 10),
        message(FORK, 50, 50, 51, 51),
        message(EXEC, 50, 50),
        message(EXIT, 12, 10, 0, 17, 1, 1),
        b"short",
    )


def test_who_comes_in_from_outside_is_told_with_its_exec(host: Feed) -> None:
    host.where[60] = "/s/agentcg.agent/below"
    (entered,) = host.hears(message(EXEC, 60, 60))
    assert (entered.what, entered.agent, entered.pid) == (What.EXEC, AGENT, 60)


def test_who_has_left_is_forgotten_and_so_is_who_started_it_if_that_left_too(host: Feed) -> None:
    host.hears(message(FORK, 10, 10, 11, 11))
    host.where = {10: "/s/agentcg.calls/c-1", 11: "/s/agentcg.calls/c-1"}
    assert not host.hears(message(EXEC, 11, 11), message(FORK, 10, 10, 12, 12))


def test_nothing_is_handed_over_once_it_is_closed(host: Feed) -> None:
    loop = host.feed._loop
    assert loop is not None
    host.feed._waiting.append(Seen(What.FORK, AGENT, 11, 10))
    host.feed.close()
    host.feed._hand_over(loop)
    host.feed._send(Seen(What.FORK, AGENT, 12, 10))
    assert not host.seen


def test_a_process_that_is_gone_before_it_is_looked_at_is_not_told(
    host: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(pid: int) -> int:
        raise ProcessGoneError(pid)

    monkeypatch.setattr(procfs, "start_time", gone)
    assert not host.hears(message(EXEC, 10, 10))


def test_one_that_keeps_its_reader_waiting_is_seen_without_and_the_others_whole(
    host: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    # Beyond a second of its own, and long enough for a helper that has no turn.
    host.feed._patience = Patience(1.1)

    def arguments(pid: int, _most: int) -> bytes:
        if pid == 11:
            go_on.wait(60)
        return b"make\0"

    monkeypatch.setattr(procfs, "arguments", arguments)
    host.where[60] = "/other/agentcg.agent"
    host.feed.watch(AGENT + 1, "other/agentcg.agent", [])
    try:
        seen = host.hears(*[message(EXEC, pid, pid) for pid in (11, 11, 10, 60)])
    finally:
        go_on.set()
    # Of the agent that did it nobody else is waited for either, while one is.
    assert [(one.pid, one.words) for one in seen] == [(11, ()), (11, ()), (10, ()), (60, ("make",))]


@pytest.mark.parametrize("host", [3], indirect=True)
def test_more_than_the_rate_is_not_told_and_counted(
    host: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 7.5)
    assert len(host.hears(*[message(FORK, 10, 10, n, n) for n in range(20, 30)])) == 3
    assert host.feed.lost == 7
    host.hears(OSError(105, "No buffer space available"))
    assert host.feed.lost == 8


def test_a_message_that_cannot_be_taken_is_counted_and_logged_once_a_second(
    host: Feed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [7.5]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr(procfs, "parent", lambda _: 1 // 0)
    host.queue.items += [message(EXEC, 10, 10)] * 2 + [OSError(12, "Cannot allocate memory")]
    # The thread rests after each, for whatever it is that goes on.
    for second in (7.6, 7.7, 8.0):
        clock[0] = second
        assert host.feed._turn()
    assert host.feed.lost == 3
    said = [record.exc_info for record in caplog.records if "is passed over" in record.message]
    assert [info and info[0] for info in said] == [ZeroDivisionError, OSError]
    (fork,) = host.hears(message(FORK, 10, 10, 11, 11))
    assert fork.pid == 11


def test_a_storm_takes_a_turn_at_a_time(host: Feed) -> None:
    host.queue.items += [message(FORK, 50, 50, 51, 51)] * 1500
    assert host.feed._turn()
    assert len(host.queue.items) == 500


def test_the_loop_is_kept_for_a_turn_and_left_for_a_rest(
    host: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [7.0]
    loop = Loop()
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    taken: list[int] = []

    def take(seen: Seen) -> None:
        clock[0] += TURN / 2
        taken.append(seen.pid)
        if seen.pid == 3:
            raise ValueError("the third")

    host.feed._take = take
    host.feed._waiting.extend(Seen(What.FORK, AGENT, pid) for pid in range(1, 6))
    host.feed._hand_over(loop)  # type: ignore[arg-type]
    assert taken == [1, 2]
    ((after, again),) = loop.later
    assert after == REST
    # One that goes wrong takes the others with it to the next turn only.
    with pytest.raises(ValueError, match="the third"):
        again(loop)
    loop.later[-1][1](loop)
    assert (taken, len(loop.later)) == ([1, 2, 3, 4, 5], 2)


def test_nobody_fills_the_memory_while_the_loop_has_no_time(
    host: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentcg.kernel.proc_feed._WAITING", 2)
    monkeypatch.setattr(Loop, "call_soon_threadsafe", lambda *_: None)
    assert not host.hears(*[message(FORK, 10, 10, n, n) for n in range(20, 30)])
    assert (len(host.feed._waiting), host.feed.lost) == (2, 8)


def test_a_storm_does_not_have_the_one_that_makes_it_forgotten(
    host: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentcg.kernel.proc_feed._INSIDE", 5)
    host.hears(*[message(FORK, 10, 10, n, n) for n in range(20, 40)])
    assert [*host.feed._inside] == [36, 37, 38, 39, 10]


def test_what_is_forgotten_is_not_told(host: Feed) -> None:
    host.feed.forget(AGENT)
    assert not host.hears(message(EXEC, 10, 10))
