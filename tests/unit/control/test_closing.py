"""How a call closes: by itself when nobody is left in it, or with all who are, as it is asked."""

from dataclasses import replace
from typing import Any

import pytest

from agentcg.control import closing, evidence, running
from agentcg.control.core import Core
from agentcg.control.evidence import Reading
from agentcg.control.state import LiveCall, LiveSession
from agentcg.enforce import limits, remove
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call, CallState
from agentcg.model.event import Kind
from agentcg.model.grant import GUARANTEE, Grant
from agentcg.model.ids import CallId
from agentcg.model.intent import Intent

ONE = CallId("c-1")


class Quiet:
    """The journal and the watch."""

    def put_call(self, record: Call) -> None:
        self.last = record

    def add(self, *_: object) -> None:
        pass

    remove = add


class Leaf:
    """What the kernel says of the leaf. `going` is how often its removal is tried in vain."""

    def __init__(self) -> None:
        self.inside: list[int] = []
        self.kills = 0
        self.going = 0

    def read(self, *_: object) -> Reading:
        return Reading(left=len(self.inside))

    def kill(self, _: object) -> None:
        self.kills += 1
        self.inside = []

    def remove(self, *_: object) -> bool:
        self.going -= 1
        return not self.inside and self.going < 0


@pytest.fixture
def leaf(monkeypatch: pytest.MonkeyPatch) -> Leaf:
    made = Leaf()
    monkeypatch.setattr(evidence, "read", made.read)
    monkeypatch.setattr(remove, "kill", made.kill)
    monkeypatch.setattr(remove, "remove", made.remove)
    monkeypatch.setattr(limits, "weight", lambda *_: None)
    monkeypatch.setattr(CgroupDir, "pids", lambda _: made.inside)
    return made


@pytest.fixture
def call(core: Core, live: LiveSession) -> LiveCall:
    quiet: Any = Quiet()
    core.journal = core.watch = quiet
    (live.tree.calls.path / ONE).mkdir()
    record = Call(ONE, live.record.id, Intent(), Grant(), started_at=1.0, observed=True)
    made = LiveCall(record, live, leaf=live.tree.calls.child(ONE))
    made.record = replace(made.record, state=CallState.RUNNING)
    core.state.add_call(made)
    return made


async def test_who_comes_in_between_the_end_and_the_close_is_not_killed(
    core: Core, call: LiveCall, leaf: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> Reading:
        leaf.inside = [7]
        return Reading()

    monkeypatch.setattr(evidence, "read", read)
    await running.end(core, call)
    assert (call.state, leaf.kills, leaf.inside) == (CallState.LINGERING, 0, [7])
    assert call.timers == []
    kinds = [event.kind for event in core.bus._history]
    assert kinds == [Kind.CALL_ENDED, Kind.CALL_LINGERING]
    # Nor when it was found empty, and they are there only then.
    monkeypatch.setattr(CgroupDir, "populated", lambda _: False)
    await running._moved(core, call)
    assert (call.state, leaf.kills) == (CallState.LINGERING, 0)
    monkeypatch.setattr(evidence, "read", leaf.read)
    leaf.inside = []
    await running._moved(core, call)
    assert call.closed.is_set()
    assert leaf.kills == 0


async def test_one_that_is_over_and_empty_closes_once_the_last_has_gone(
    core: Core, call: LiveCall, leaf: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is dead is not listed, and holds the leaf for a moment all the same."""
    monkeypatch.setattr(closing, "_RETRY", 0.01)
    leaf.going = 3
    await running.end(core, call)
    assert (call.state, leaf.kills, core.state.calls) == (CallState.CLOSED, 0, {})
    assert await closing.close_empty(core, call)


async def test_what_was_learned_for_one_that_lingers_is_for_the_others(
    core: Core, call: LiveCall, leaf: Leaf
) -> None:
    grant = Grant(memory_guarantee=512 << 20, source={GUARANTEE: "learned: ..."})
    call.record = replace(call.record, grant=grant)
    assert call.leaf is not None
    least = call.leaf.path / "memory.min"
    least.write_text("536870912\n")
    leaf.inside = [7]
    await running.end(core, call)
    assert (call.record.grant, least.read_text()) == (Grant(), "0")


async def test_who_is_asked_to_close_it_kills(core: Core, call: LiveCall, leaf: Leaf) -> None:
    leaf.inside = [7]
    await running.end(core, call)
    assert call.state is CallState.LINGERING
    await closing.close(core, call)
    assert (call.state, leaf.kills) == (CallState.CLOSED, 1)
