"""The books of what is open."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.control.state import LiveCall, LiveSession, State
from agentcg.errors import NotFoundError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call, CallState
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.session import Runtime, Session
from agentcg.sandbox.tree import Tree


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LiveSession]:
    for name in ("agent", "calls/c-1"):
        (tmp_path / name).mkdir(parents=True)
    top = CgroupDir.open(tmp_path)
    tree = Tree(top, top.child("agent"), top.child("calls"))
    record = Session(SessionId("s-1"), Runtime.BARE, "s-1", top.id)
    yield LiveSession(record, tree, cpus=frozenset())
    tree.close()


def call(session: LiveSession, name: str = "c-1", key: str | None = None) -> LiveCall:
    return LiveCall(Call(CallId(name), session.record.id, Intent(key=key), Grant()), session)


def test_an_open_session_is_found_by_its_id_and_its_agents_cgroup(session: LiveSession) -> None:
    state = State()
    state.add_session(session)
    assert state.session(SessionId("s-1")) is session
    assert state.place_of(session.tree.agent.id) == (session, None)
    # The session's own cgroup and that of all calls hold no process that could speak.
    assert state.place_of(session.tree.session.id) == (None, None)
    assert state.place_of(session.tree.calls.id) == (None, None)


def test_a_session_that_is_dropped_is_not_found_even_when_its_handles_are_closed(
    session: LiveSession,
) -> None:
    state = State()
    state.add_session(session)
    session.tree.close()
    state.drop_session(session)
    state.drop_session(session)
    assert state.place_of(session.tree.agent.id) == (None, None)
    with pytest.raises(NotFoundError, match="session 's-1': not open; `agentcg tree` lists"):
        state.session(SessionId("s-1"))


def test_a_session_id_of_any_length_is_not_repeated() -> None:
    with pytest.raises(NotFoundError) as caught:
        State().session(SessionId("a" * 10_000))
    assert len(caught.value.message) < 200


def test_a_call_counts_at_once_and_speaks_from_its_leaf_on(session: LiveSession) -> None:
    state, live = State(), call(session)
    state.add_session(session)
    state.add_call(live)
    assert state.calls == {"c-1": live}
    assert session.calls == {"c-1": live}
    with session.tree.calls.child("c-1") as leaf:
        assert state.place_of(leaf.id) == (None, None)
        state.add_leaf(live, leaf)
        assert state.place_of(leaf.id) == (session, live)
        state.drop_call(live)
        assert state.place_of(leaf.id) == (None, None)
    assert not state.calls
    assert not session.calls


def test_a_call_without_a_leaf_can_be_dropped(session: LiveSession) -> None:
    state, live = State(), call(session)
    state.add_call(live)
    state.drop_call(live)
    state.drop_call(live)
    assert not session.calls


def test_a_key_finds_an_open_call_of_its_own_session(session: LiveSession) -> None:
    state = State()
    first, second = call(session, "c-1", "toolu_1"), call(session, "c-2", "toolu_2")
    state.add_call(first)
    state.add_call(second)
    assert state.by_key(session, "toolu_2") is second
    state.drop_call(second)
    assert state.by_key(session, "toolu_2") is None


async def test_timers_that_are_called_off_never_fire(session: LiveSession) -> None:
    live = call(session)
    fired: list[int] = []
    live.timers.append(asyncio.get_running_loop().call_later(0.01, fired.append, 1))
    assert live.state is CallState.DECLARED
    live.cancel_timers()
    assert live.timers == []
    await asyncio.sleep(0.03)
    assert fired == []
