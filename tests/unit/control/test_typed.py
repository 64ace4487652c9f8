"""A typed line in the life of the daemon: one call from its first program to its last."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from agentcg.control import adopting, calls, closing, hooking, observing, running
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import ProcessGoneError
from agentcg.harness.announced import Announced
from agentcg.harness.dialects import DIALECTS
from agentcg.harness.lookup import looks
from agentcg.harness.told import Moment, Told
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import Kind
from agentcg.model.outcome import Cause
from agentcg.model.process import Seen, What
from agentcg.model.session import Undeclared
from tests.unit.control.conftest import ONE, gathers, settled

LINE = "make && ./run; ls"
SHELL = 2


@pytest.fixture
def one(core: Core, live: LiveSession) -> Announced:
    """The line was announced, in a session where commands are placed."""
    live.record = replace(live.record, undeclared=Undeclared.PLACE)
    told = Told(Moment.BEFORE, "e", "s", "Bash", LINE, "k")
    made = Announced("k", told, LINE, looks(LINE), at=core.now())
    live.hooked.add(made)
    heard(core, live, 1, 0, "openhands")
    heard(core, live, SHELL, 1, "bash", "-i")
    return made


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[int, int]]:
    """Whom each gathering was to move, with their starts."""
    monkeypatch.setattr(adopting, "_REST_MAX", 0.0)
    return gathers(monkeypatch)


def heard(core: Core, live: LiveSession, pid: int, parent: int, *words: str) -> None:
    agent = live.tree.agent.id
    observing._heard(core, Seen(What.FORK, agent, pid, parent, pid))
    observing._heard(core, Seen(What.EXEC, agent, pid, parent, pid, words))


def declared(monkeypatch: pytest.MonkeyPatch, call: LiveCall, *gone: int) -> list[int]:
    """Whom calls are declared for; some are gone by then."""
    found: list[int] = []

    def opened(pid: int, _start: int | None) -> int:
        if pid in gone:
            raise ProcessGoneError(pid)
        found.append(pid)
        return os.open("/dev/null", os.O_RDONLY)

    async def declare(*_: object, observed: bool) -> LiveCall:
        assert observed
        return call

    monkeypatch.setattr(pidfds, "open", opened)
    monkeypatch.setattr(calls, "declare", declare)
    return found


async def test_all_programs_of_a_line_are_in_its_call(
    core: Core,
    live: LiveSession,
    one: Announced,
    call: LiveCall,
    moved: list[Mapping[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = declared(monkeypatch, call)
    heard(core, live, 10, SHELL, "make")
    # It comes before anybody has made the call.
    heard(core, live, 11, SHELL, "cat")
    await settled(core)
    assert (found, moved) == ([10], [{10: 10, 11: 11}])
    heard(core, live, 12, SHELL, "./run")
    await settled(core)
    assert (found, moved[1:]) == ([10], [{10: 10, 11: 11, 12: 12}])
    one.over = True
    core.now = lambda: 9.5
    heard(core, live, 13, SHELL, "date")
    await settled(core)
    assert found == [10, 13]


async def test_where_the_first_is_gone_by_then_the_next_takes_its_place(
    core: Core,
    live: LiveSession,
    one: Announced,
    call: LiveCall,
    moved: list[Mapping[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = declared(monkeypatch, call, 10, 11)
    for pid in (10, 11, 12):
        heard(core, live, pid, SHELL, "make")
    await settled(core)
    assert (found, moved, one.call) == ([12], [{12: 12}], ONE)
    # With nobody left it waits again.
    one.taken, one.call, one.over = False, None, False
    found = declared(monkeypatch, call, 20, 21)
    core.now = lambda: 6.6
    heard(core, live, 20, SHELL, "make")
    heard(core, live, 21, SHELL, "make")
    await settled(core)
    assert (found, one.taken, core.state.fail_opens) == ([], False, 0)


@pytest.fixture
async def over(
    core: Core, call: LiveCall, one: Announced, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[int | None]]:
    """The main process of the line's call has exited with 2; when it ends, its status is noted."""
    ended: list[int | None] = []

    async def end(_core: Core, live: LiveCall) -> None:
        ended.append(live.status)

    monkeypatch.setattr(running, "end", end)
    monkeypatch.setattr(running, "LINE_RESTS", 60.0)
    monkeypatch.setattr(closing, "learn_status", lambda _, live: setattr(live, "status", 2 << 8))
    one.taken = one.typed = True
    with subprocess.Popen(["true"]) as child:
        call.pidfd = os.pidfd_open(child.pid)
        call.record = replace(call.record, pid=child.pid)
        yield ended
        os.close(call.pidfd)


def populate(core: Core, call: LiveCall, *, populated: bool) -> None:
    assert call.leaf is not None
    (call.leaf.path / "cgroup.events").write_text(f"populated {int(populated)}\nfrozen 0\n")
    running.look(core, call)


async def test_its_call_goes_on_while_something_runs_and_then_for_a_while(
    core: Core, call: LiveCall, over: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    readings = [True, False, False, True, False, False]

    def populated(_leaf: CgroupDir) -> bool:
        if len(readings) > 2:
            loop.call_soon_threadsafe(call.changed.set)
        return readings.pop(0)

    monkeypatch.setattr(running, "LINE_RESTS", 0.05)
    monkeypatch.setattr(running, "_populated", populated)
    await running.follow(core, call)
    assert (over, readings) == ([2 << 8], [])


@pytest.mark.parametrize("how", ["over", "next", "killed"])
async def test_once_it_is_told_to_its_call_ends_with_the_last_that_runs(
    core: Core, call: LiveCall, one: Announced, over: list[int | None], how: str
) -> None:
    populate(core, call, populated=True)
    following = asyncio.create_task(running.follow(core, call))
    while call.changed.is_set():  # until it looks
        await asyncio.sleep(0.01)
    match how:
        case "over":
            one.over = True
        case "next":
            one.typed = False
        case _:
            call.killed_for = Cause.DEADLINE
    running.look(core, call)
    await asyncio.sleep(0.1)
    assert over == []
    populate(core, call, populated=False)
    async with asyncio.timeout(30):
        await following
    assert over == [2 << 8]


async def test_the_hook_after_the_tool_tells_it_to(
    core: Core, live: LiveSession, call: LiveCall, one: Announced, over: list[int | None]
) -> None:
    populate(core, call, populated=False)
    one.call = ONE
    following = asyncio.create_task(running.follow(core, call))
    while call.changed.is_set():
        await asyncio.sleep(0.01)
    assert over == []
    told = {"session_id": "s", "hook_event_name": "PostToolUse", "tool_use_id": "k"}
    await hooking.hook(core, live, DIALECTS["codex"], json.dumps(told).encode())
    async with asyncio.timeout(30):
        await following
    assert (one.over, over) == (True, [2 << 8])


async def test_of_several_programs_the_first_ones_status_is_not_the_lines(
    core: Core, call: LiveCall, one: Announced, over: list[int | None]
) -> None:
    populate(core, call, populated=False)
    one.more = one.over = True
    await running.follow(core, call)
    assert over == [None]


async def test_any_other_call_ends_with_its_main_process(
    core: Core, call: LiveCall, one: Announced, over: list[int | None]
) -> None:
    populate(core, call, populated=True)
    one.typed = False
    await running.follow(core, call)
    assert over == [2 << 8]


async def test_where_commands_are_not_placed_no_line_is_followed(
    core: Core, live: LiveSession, one: Announced
) -> None:
    live.record = replace(live.record, undeclared=Undeclared.CAP)
    for pid in (10, 11):
        heard(core, live, pid, SHELL, "make")
    told = [event.data for event in core.bus._history if event.kind is Kind.UNDECLARED]
    assert [(data["pid"], data["reason"]) for data in told] == [(10, "time"), (11, "time")]
    assert not one.typed
