"""A call whose making failed is taken back, or goes on as any other."""

from dataclasses import replace
from typing import Any

import pytest

from agentcg.control import calls, closing, evidence
from agentcg.control.core import Core
from agentcg.control.state import LiveCall, LiveSession
from agentcg.enforce import place, remove
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call, CallState
from tests.unit.control.conftest import ONE, settled


@pytest.mark.parametrize("emptied", [True, False])
async def test_a_call_is_taken_back_only_when_its_leaf_is_gone(
    core: Core,
    live: LiveSession,
    call: LiveCall,
    monkeypatch: pytest.MonkeyPatch,
    *,
    emptied: bool,
) -> None:
    class Books:
        def put_call(self, record: Call) -> None:
            self.last = record

    class Watching:
        def add(self, *_: object) -> None:
            pass

        remove = add

    journal: Any = Books()
    watching: Any = Watching()
    books, core.journal, core.watch = journal, journal, watching
    call.record = replace(call.record, state=CallState.DECLARED)
    homes: list[CgroupDir] = []

    def vacate(_leaf: CgroupDir, agent: CgroupDir) -> bool:
        homes.append(agent)
        return emptied

    monkeypatch.setattr(place, "vacate", vacate)
    monkeypatch.setattr(remove, "remove", lambda *_: True)
    await calls._undo(core, call)
    assert homes == [live.tree.agent]
    if emptied:
        assert (core.state.calls, books.last.state) == ({}, CallState.CLOSED)
        return
    # It is limited as any other, and closes when it is empty.
    assert (core.state.calls, books.last.state) == ({ONE: call}, CallState.RUNNING)
    leaf: Any = call.leaf
    assert core.state.place_of(leaf.id) == (live, call)
    # If it was so before anybody watched it is closed as well.
    monkeypatch.setattr(CgroupDir, "populated", lambda _: False)
    monkeypatch.setattr(evidence, "read", lambda *_: evidence.Reading())
    monkeypatch.setattr(remove, "remove", lambda *_: True)
    await settled(core)
    assert (core.state.calls, books.last.state) == ({}, CallState.CLOSED)
    monkeypatch.setattr(place, "vacate", lambda *_: True)
    monkeypatch.setattr(remove, "remove", lambda *_: False)
    assert await closing.undo(core, call) is not None
