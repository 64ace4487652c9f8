"""What becomes of what a feed hands over; and which feed that is."""

import asyncio
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from agentcg.control import adopting, observing, tick
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import UnsupportedError
from agentcg.harness.announced import Announced
from agentcg.harness.attribute import KNOWN, Command, Lineage, Reason
from agentcg.harness.lookup import looks
from agentcg.harness.told import Moment, Told
from agentcg.kernel import procfs, seeing
from agentcg.model.call import Call, CallState
from agentcg.model.event import Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId
from agentcg.model.intent import Intent
from agentcg.model.process import Seen, What
from agentcg.model.session import Undeclared
from agentcg.settings import Observer, Settings
from tests.unit.control.conftest import PLACES


class Feed:
    """It knows what it was told to watch."""

    lost = 0
    listens = False

    def __init__(self) -> None:
        self.watched: dict[int, str] = {}

    def listen(self) -> None:
        self.listens = True

    def watch(self, agent: int, path: str, pids: Iterable[int]) -> None:
        self.watched[agent] = path
        self.inside = [*pids]

    def forget(self, agent: int) -> None:
        del self.watched[agent]

    def close(self) -> None:
        self.watched.clear()


def runs(core: Core, live: LiveSession, *pids: int) -> None:
    """The harness, 1, starts as many commands."""
    agent = live.tree.agent.id
    observing._heard(core, Seen(What.EXEC, agent, 1, 0, 1, ("claude",)))
    for pid in pids:
        observing._heard(core, Seen(What.FORK, agent, pid, 1, pid))
        observing._heard(core, Seen(What.EXEC, agent, pid, 1, pid, ("make", "TOKEN=x")))


def told(core: Core, kind: Kind) -> list[Any]:
    return [event for event in core.bus._history if event.kind is kind]


async def test_commands_are_counted_and_told_without_secrets_so_many_a_second(
    core: Core, live: LiveSession
) -> None:
    runs(core, live, *range(10, 20))
    assert (live.undeclared, core.state.undeclared) == (10, 10)
    events = told(core, Kind.UNDECLARED)
    assert [event.data["pid"] for event in events] == [10, 11, 12]
    assert events[0].text == "make TOKEN=***"
    core.now = lambda: 6.5
    runs(core, live, 20)
    assert told(core, Kind.UNDECLARED)[-1].data["untold"] == 7


def placing(live: LiveSession, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have its undeclared commands placed; which were."""
    adopted: list[int] = []

    async def adopt(_core: Core, _live: LiveSession, command: Command, *_: object) -> None:
        adopted.append(command.pid)

    monkeypatch.setattr(adopting, "adopt", adopt)
    live.record = replace(live.record, undeclared=Undeclared.PLACE)
    return adopted


async def test_with_place_each_is_adopted_so_many_a_second(
    core: Core, live: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopted = placing(live, monkeypatch)
    runs(core, live, *range(10, 20))
    # Told with the next tick, also where no other comes.
    for _ in range(2):
        await tick.look_after(core, live, tick.read(core, live))
    (words,) = told(core, Kind.FAIL_OPEN)
    assert words.text.startswith("7 commands stayed with the agent")
    assert core.state.fail_opens == 7
    core.now = lambda: 6.5
    runs(core, live, 20)
    await asyncio.sleep(0)
    assert adopted == [10, 11, 12, 20]
    assert told(core, Kind.UNDECLARED) == []


async def test_an_announcement_is_taken_by_the_first_that_fits_before_anything_else_happens(
    core: Core, live: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopted: list[tuple[int, Announced | None]] = []

    async def adopt(
        _core: Core, _live: LiveSession, command: Command, one: Announced | None, _hint: object
    ) -> None:
        adopted.append((command.pid, one))

    monkeypatch.setattr(adopting, "adopt", adopt)
    told = Told(Moment.BEFORE, "e", "s", "", "Bash", "make TOKEN=x", "k")
    one = Announced("k", told, "make TOKEN=x", looks("make TOKEN=x"), at=5.0)
    live.hooked.add(one)
    # Who is only observed takes none: its wrapped shell may come yet.
    runs(core, live, 10)
    assert not one.taken
    live.record = replace(live.record, undeclared=Undeclared.PLACE)
    core.now = lambda: 6.5
    runs(core, live, 11, 12)
    await asyncio.sleep(0)
    assert adopted == [(11, one), (12, None)]
    assert live.hooked.take("gone") is None


async def test_what_is_over_the_pace_is_not_compared_with_announcements(
    core: Core, live: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def announced(seen: Seen, *_: object) -> tuple[None, Reason]:
        asked.append(seen.pid)
        return None, Reason.UNDECLARED

    monkeypatch.setattr(observing, "announced", announced)
    runs(core, live, *range(10, 20))
    assert asked == [10, 11, 12]


async def test_what_belongs_to_a_call_is_gathered_so_many_times_a_second(
    core: Core, live: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered: list[str] = []
    monkeypatch.setattr(adopting, "gather", lambda _core, _live, call: gathered.append(call))
    call = LiveCall(Call(CallId("c-1"), live.record.id, Intent(), Grant()), live)
    call.record = replace(call.record, state=CallState.RUNNING)
    core.state.add_call(call)
    agent = live.tree.agent.id
    observing._heard(core, Seen(What.EXEC, agent, 1, 0, 1, ("claude",)))

    def joins(*pids: int) -> None:
        for pid in pids:
            env = {"AGENTCG_CALL": "c-1"}
            observing._heard(core, Seen(What.EXEC, agent, pid, 1, pid, ("make",), env))

    joins(*range(10, 20))
    assert gathered == []
    live.record = replace(live.record, undeclared=Undeclared.PLACE)
    joins(*range(20, 30))
    assert gathered == ["c-1"] * PLACES
    # The others of that second with the next tick, and once.
    for _ in range(2):
        await tick.look_after(core, live, tick.read(core, live))
    assert gathered == ["c-1"] * (PLACES + 1)
    # One that is over takes nobody in.
    call.record = replace(call.record, state=CallState.LINGERING)
    core.now = lambda: 6.5
    joins(*range(30, 40))
    assert gathered == ["c-1"] * (PLACES + 1)


async def test_what_a_session_that_is_gone_does_is_nobodys(core: Core, live: LiveSession) -> None:
    core.state.drop_session(live)
    runs(core, live, 10)
    assert live.undeclared == 0


async def test_a_session_is_watched_by_the_path_of_its_agent(core: Core, live: LiveSession) -> None:
    core.observer = feed = Feed()
    await observing.watch(core, live)
    assert feed.watched == {live.tree.agent.id: "pool/s/agentcg.agent"}
    observing.forget(core, live)
    assert feed.watched == {}


async def test_of_those_that_were_there_before_so_many_are_looked_at_and_others_have_their_turns(
    core: Core, live: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = live.tree.agent
    (agent.path / "cgroup.procs").write_text("\n".join(map(str, range(10, 10 + 2 * KNOWN))))
    looked: list[int] = []
    together = 0

    def born(agent: int, pid: int) -> Seen:
        return Seen(What.FORK, agent, pid, pid - 1, 100_000 - pid)

    def look(_: object, agent: int, pid: int) -> Seen:
        looked.append(pid)
        return replace(born(agent, pid), what=What.EXEC, words=("sleep", "9"))

    monkeypatch.setattr(seeing, "born", born)
    monkeypatch.setattr(seeing, "look", look)
    core.observer = Feed()
    await observing.watch(core, live)
    while core._tasks:
        await asyncio.sleep(0.01)
    assert len(looked) == len(live.lineage.known) == KNOWN
    assert looked == sorted(looked, reverse=True)
    # They are not all kept until the last of them is seen.
    looked.clear()
    live.lineage = Lineage()
    await observing.watch(core, live)
    while core._tasks:
        together = max(together, len(looked) - read(live.lineage))
        await asyncio.sleep(0)
    assert 0 < together <= observing._AT_ONCE


def read(lineage: Lineage) -> int:
    return sum(not known.unread for known in lineage.known.values())


async def test_a_harness_is_one_before_anything_is_heard_of_it(
    core: Core, live: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `agentcg open --undeclared place -- sh -c LINE`."""
    adopted = placing(live, monkeypatch)
    agent = live.tree.agent
    with subprocess.Popen(["sleep", "60"]) as harness:
        (agent.path / "cgroup.procs").write_text(f"{harness.pid}\n{1 << 22}\n")
        core.observer = feed = Feed()
        await observing.watch(core, live)
        assert feed.inside == [harness.pid, 1 << 22]
        start, words = procfs.start_time(harness.pid), ("sh", "-c", "claude")
        observing._heard(core, Seen(What.EXEC, agent.id, harness.pid, 7, start, words))
        while core._tasks:
            await asyncio.sleep(0.01)
        harness.kill()
    assert adopted == []
    assert live.undeclared == 0


async def test_without_an_observer_place_is_refused_or_told(core: Core, live: LiveSession) -> None:
    live.record = replace(live.record, undeclared=Undeclared.PLACE)
    await observing.watch(core, live)
    assert "only capped" in told(core, Kind.DAEMON)[0].text
    with pytest.raises(UnsupportedError, match="place needs the observer"):
        observing.need(core)


@pytest.mark.parametrize(
    ("settings", "works", "detail"),
    [
        ({}, True, "by the process connector; no BTF"),
        ({"bpf": False}, True, "by the process connector"),
        ({"enabled": False}, False, "switched off: observer.enabled"),
    ],
)
async def test_which_feed_it_is(
    core: Core,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, bool],
    works: bool,
    detail: str,
) -> None:
    def refused(_core: Core, _take: Callable[[Seen], None]) -> Any:
        raise UnsupportedError("no BTF")

    name = "by the process connector"
    monkeypatch.setattr(procfs, "in_initial_pids", lambda: True)
    monkeypatch.setattr(observing, "_by_bpf", refused)
    monkeypatch.setattr(observing, "_by_connector", lambda *_: (name, Feed()))
    core.settings = Settings(observer=Observer(**settings))
    await observing.start(core)
    found = core.host.mechanisms["observer"]
    assert (found.works, found.detail) == (works, detail)
    feed: Any = core.observer
    assert (feed is not None) is works
    # What is seen before the daemon has taken up its sessions would be nobody's.
    assert feed is None or not feed.listens
    observing.listen(core)
    assert feed is None or feed.listens
    observing.stop(core)
