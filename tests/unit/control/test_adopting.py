"""What becomes of a command that is to have a call, and of what else belongs to it."""

import asyncio
import os
import threading
from dataclasses import replace

import pytest

from agentcg.api.controller import Peer
from agentcg.control import adopting, calls, entering
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.errors import BadValueError, ConflictError, LimitError, ProcessGoneError
from agentcg.harness.announced import Announced
from agentcg.harness.attribute import Command
from agentcg.harness.told import Moment, Told
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import CallState
from agentcg.model.event import Kind
from agentcg.model.ids import CallId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause
from agentcg.model.process import Seen, What
from tests.unit.control.conftest import ONE, gathers, settled


@pytest.fixture
def one(live: LiveSession) -> Announced:
    """An announcement that the command below has taken."""
    told = Told(Moment.BEFORE, "e", "s", "", "Bash", "make", "k")
    made = Announced("k", told, "make", "make", taken=True)
    live.hooked.add(made)
    return made


@pytest.fixture
def command(live: LiveSession, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The harness, 1, has started `make`, 10, and there is a pidfd of that."""
    monkeypatch.setattr(pidfds, "open", lambda *_: os.open("/dev/null", os.O_RDONLY))
    agent = live.tree.agent.id
    live.lineage.executed(Seen(What.EXEC, agent, 1, 0, 1, ("claude",)), live.runs)
    made = live.lineage.executed(Seen(What.EXEC, agent, 10, 1, 7, ("make",)), live.runs).command
    assert made is not None
    return made


def declares(monkeypatch: pytest.MonkeyPatch, answer: LiveCall | Exception) -> None:
    async def declare(*_: object, observed: bool) -> LiveCall:
        assert observed
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(calls, "declare", declare)


async def test_it_becomes_a_call_and_what_it_started_is_moved_after_it(
    core: Core,
    live: LiveSession,
    command: Command,
    one: Announced,
    call: LiveCall,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declares(monkeypatch, call)
    asked = gathers(monkeypatch)
    live.lineage.forked(Seen(What.FORK, live.tree.agent.id, 11, 10, 8))
    await adopting.adopt(core, live, command, one, None)
    await settled(core)
    assert (command.call, one.call, one.taken) == (ONE, ONE, True)
    assert asked == [{10: 7, 11: 8}]


async def test_one_that_is_over_gives_its_announcement_back_and_nothing_is_told(
    core: Core,
    live: LiveSession,
    command: Command,
    one: Announced,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(pid: int, start: int | None) -> int:
        assert (pid, start) == (10, 7)
        raise ProcessGoneError(pid)

    monkeypatch.setattr(pidfds, "open", gone)
    await adopting.adopt(core, live, command, one, None)
    assert (command.call, one.call, one.taken) == (None, None, False)
    assert core.state.fail_opens == 0


async def test_so_does_one_that_gets_no_call_and_that_is_told(
    core: Core,
    live: LiveSession,
    command: Command,
    one: Announced,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declares(monkeypatch, LimitError("256 are open"))
    await adopting.adopt(core, live, command, one, None)
    assert (one.taken, core.state.fail_opens) == (False, 1)
    assert [event.kind for event in core.bus._history] == [Kind.FAIL_OPEN]
    monkeypatch.setattr(pidfds, "open", lambda *_: os.open("/none", os.O_RDONLY))
    one.taken = True
    with pytest.raises(FileNotFoundError):
        await adopting.adopt(core, live, command, one, None)
    assert not one.taken


@pytest.mark.parametrize("announced", [True, False])
async def test_what_is_wrong_with_its_words_or_its_hints_keeps_none_from_its_call(
    core: Core,
    live: LiveSession,
    command: Command,
    one: Announced,
    call: LiveCall,
    monkeypatch: pytest.MonkeyPatch,
    *,
    announced: bool,
) -> None:
    wishes: list[tuple[str | None, int | None]] = []

    async def declare(
        _core: Core, _live: LiveSession, intent: Intent, _peer: Peer, *, observed: bool
    ) -> LiveCall:
        assert observed
        wishes.append((intent.command, intent.memory.limit))
        if intent.memory.limit == 7 << 30:
            raise BadValueError("more than there is")
        return call

    monkeypatch.setattr(calls, "declare", declare)
    gathers(monkeypatch)
    command.line = one.command = "make \udcff"
    taken = one if announced else None
    for hint in ("memory:1g", "memory:7g", "nonsense", "memory:\udcff"):
        await adopting.adopt(core, live, command, taken, hint)
        assert command.call == ONE
    one.hint, command.line = "memory:lots", "AGENT_RESOURCE_HINT=memory:lots make"
    await adopting.adopt(core, live, command, taken, None)
    line = "make \\udcff"
    kept = line if announced else command.line
    assert wishes == [(line, 1 << 30), (line, 7 << 30), *[(line, None)] * 3, (kept, None)]
    assert core.state.fail_opens == 0


async def test_one_whose_call_runs_already_is_gathered_into_that(
    core: Core,
    live: LiveSession,
    command: Command,
    one: Announced,
    call: LiveCall,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declares(monkeypatch, ConflictError("is running already"))
    asked = gathers(monkeypatch)
    await adopting.adopt(core, live, command, one, None)
    await settled(core)
    assert (command.call, one.call, one.taken, asked) == (ONE, ONE, True, [{10: 7}])
    # One that is over takes nobody in.
    call.record = replace(call.record, state=CallState.LINGERING)
    await adopting.adopt(core, live, command, one, None)
    assert not one.taken


async def test_a_storm_of_requests_is_one_gathering_and_one_more_and_calls_take_turns(
    core: Core,
    live: LiveSession,
    call: LiveCall,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, begun = threading.Event(), threading.Event()
    runs: list[str] = []
    more = ["not yet"]

    def gather(_core: Core, leaf: CgroupDir, *_: object) -> bool:
        runs.append(leaf.path.name)
        begun.set()
        go_on.wait(60)
        return runs == more

    monkeypatch.setattr(entering, "gather", gather)
    other = LiveCall(replace(call.record, id=CallId("c-2")), live, leaf=live.tree.agent)
    core.state.add_call(other)
    adopting.gather(core, live, ONE)
    await asyncio.to_thread(begun.wait, 60)
    for _ in range(100):
        adopting.gather(core, live, ONE)
        adopting.gather(core, live, other.record.id)
        await asyncio.sleep(0)
    assert runs == [ONE]
    monkeypatch.setattr(adopting, "_REST_MAX", 0.0)
    go_on.set()
    await settled(core)
    assert (runs.count(ONE), runs.count("agentcg.agent")) == (2, 2)
    # Where there was too much for once it goes on by itself.
    runs.clear()
    more[:] = [ONE]
    adopting.gather(core, live, ONE)
    await settled(core)
    assert runs == [ONE, ONE]


@pytest.mark.parametrize(
    ("state", "observed", "killed_for", "takes"),
    [
        (CallState.RUNNING, False, None, True),
        (CallState.RUNNING, True, Cause.REQUEST, False),
        (CallState.LINGERING, True, None, True),
        # Who lingers in a declared call is killed when that is over.
        (CallState.LINGERING, False, None, False),
        (CallState.LINGERING, True, Cause.REQUEST, False),
        # About to be closed, for it was empty.
        (CallState.EXITED, True, None, False),
        (CallState.KILLED, True, None, False),
    ],
)
async def test_nobody_is_taken_in_to_be_killed(
    core: Core,
    live: LiveSession,
    call: LiveCall,
    monkeypatch: pytest.MonkeyPatch,
    state: CallState,
    killed_for: Cause | None,
    *,
    observed: bool,
    takes: bool,
) -> None:
    asked = gathers(monkeypatch)
    call.record = replace(call.record, state=state, observed=observed)
    call.killed_for = killed_for
    adopting.gather(core, live, ONE)
    adopting.gather(core, live, CallId("c-none"))
    await settled(core)
    assert bool(asked) is takes
