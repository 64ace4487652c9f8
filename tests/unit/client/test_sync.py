import inspect
from itertools import islice
from pathlib import Path

import httpx2
import pytest

from agentcg.api.gate import Gate, Link
from agentcg.api.server import KEEP_ALIVE
from agentcg.client import AsyncClient, Client, asks, wire
from agentcg.errors import (
    AgentcgError,
    BadValueError,
    CgroupGoneError,
    ConflictError,
    DeniedError,
    LimitError,
    NotFoundError,
    ProcessGoneError,
    UnavailableError,
)
from agentcg.model.call import CallState
from agentcg.model.outcome import Cause
from agentcg.model.wire import CallBody, CallPatchBody, MemoryBody, SessionBody
from tests.unit.api.fake import Running


def test_a_call_goes_through_its_life(server: Running) -> None:
    with Client(server.agent) as client:
        body = CallBody.model_validate({"memory": {"limit": "2g"}, "cpu": {"class": "batch"}})
        view = client.declare(body)
        call = view.call.id
        assert view.call.grant.memory_limit == 2 * 2**30
        assert client.freeze(call).call.state is CallState.FROZEN
        assert client.thaw(call).call.state is CallState.RUNNING
        client.patch(call, CallPatchBody(memory=MemoryBody(limit=5)))
        assert server.controller.bodies[-1] == CallPatchBody(memory=MemoryBody(limit=5))
        assert client.end(call, 4).call.outcome is not None
        assert client.calls() == []
        assert [one.call.id for one in client.calls(everything=True)] == [call]
        assert client.call(call).call.state is CallState.EXITED
        assert client.close(call).call.id == call


def test_bodies_may_be_mappings_with_units(server: Running) -> None:
    with Client(server.admin) as client:
        opened = client.open_session({"runtime": "bare", "pid": 1, "budget": {"memory": "4GiB"}})
        assert opened.session.budget.memory == 4 * 2**30
        assert len(client.sessions()) == 2
        assert client.session(opened.session.id) == client.close_session(opened.session.id)
        client.open_session(SessionBody(runtime="bare", pid=1, id="x"))
        call = client.declare({"tool": "make"}, "x").call.id
        outcome = client.kill(call).call.outcome
        assert outcome is not None
        assert outcome.cause is Cause.OOM


def test_host_metrics_and_health_are_told(server: Running) -> None:
    with Client(server.admin) as client:
        assert client.host().counters == {"fail_opens": 2}
        assert "agentcg_calls" in client.metrics()
        assert client.health() == "ok\n"


def test_a_hook_is_answered_by_an_object_or_by_nothing(server: Running) -> None:
    with Client(server.agent) as client:
        assert client.hook("claude-code", {"hook_event_name": "Stop"}) == {}
        server.controller.said = b'{"a": {"b": 1}}'
        assert client.hook("claude-code", {"hook_event_name": "Stop"}) == {"a": {"b": 1}}


def test_errors_come_back_as_they_were_raised(server: Running) -> None:
    with Client(server.agent) as client:
        with pytest.raises(NotFoundError, match="no call 'c-none'"):
            client.call("c-none")
        with pytest.raises(BadValueError, match=r"memory\.limit: '2 gallons'"):
            client.declare({"memory": {"limit": "2 gallons"}})
        with pytest.raises(DeniedError):
            client.metrics()
        with pytest.raises(AgentcgError, match="Not Found"):
            client.call("../sessions")
        for error in (
            ConflictError("x"),
            ProcessGoneError(3),
            CgroupGoneError("/x"),
            LimitError("y"),
        ):
            server.controller.failure = error
            with pytest.raises(type(error)) as caught:
                client.calls()
            assert caught.value.message == error.message
        server.controller.failure = ZeroDivisionError()
        with pytest.raises(AgentcgError, match="ZeroDivisionError"):
            client.calls()


def test_an_answer_that_is_no_problem_document_is_an_error_all_the_same() -> None:
    with pytest.raises(AgentcgError, match="status 502"):
        wire.raise_problem(502, b"<html>")


def test_events_are_followed_from_where_one_was(server: Running) -> None:
    with Client(server.agent) as client:
        stream = client.events(1)
        assert [event.seq for event in islice(stream, 2)] == [2, 3]
        stream.close()  # type: ignore[attr-defined]


def test_a_silent_daemon_is_not_waited_for(server: Running) -> None:
    with Client(server.agent) as client, pytest.raises(UnavailableError, match="in time"):
        list(client.events(silence=0.2))


def test_a_daemon_that_stops_ends_the_events(server: Running) -> None:
    with Client(server.agent) as client:
        stream = client.events(2)
        next(stream)
        server.finish()
        with pytest.raises(UnavailableError, match="no daemon answers"):
            next(stream)


def test_a_daemon_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        Client(tmp_path / "sock") as client,
        pytest.raises(UnavailableError, match=r"sock: no daemon answers .*systemctl start"),
    ):
        client.host()


def test_a_connection_that_rested_is_not_used_again(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[Link] = []
    admit = Gate.admit

    def counted(gate: Gate, link: Link) -> None:
        links.append(link)
        admit(gate, link)

    monkeypatch.setattr(Gate, "admit", counted)
    for rested, connections in ((wire.RESTED, 1), (0.0, 3)):
        monkeypatch.setattr(wire, "RESTED", rested)
        with Client(server.agent) as client:
            client.health()
            client.health()
        assert len(links) == connections


def test_the_daemon_hangs_up_long_after_a_client_would_use_a_connection_again() -> None:
    assert wire.RESTED <= KEEP_ALIVE / 2


def test_the_agents_socket_is_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "ADMIN", tmp_path / "admin.sock")
    monkeypatch.setattr(wire, "AGENT", tmp_path / "agent.sock")
    assert Client().socket == tmp_path / "agent.sock"
    (tmp_path / "admin.sock").touch()
    assert Client().socket == tmp_path / "admin.sock"


def test_both_clients_have_the_same_methods() -> None:
    def shape(kind: type) -> dict[str, str]:
        return {
            name: str(inspect.signature(value)).partition(" ->")[0]
            for name, value in vars(kind).items()
            if not name.startswith("_")
        }

    assert shape(Client) == shape(AsyncClient)


def test_what_only_another_version_knows_is_no_crash() -> None:
    newer = '{"seq": 1, "at": 1.5, "kind": "call.teleported"}'
    assert wire.event(httpx2.ServerSentEvent(data=newer)) is None
    with pytest.raises(AgentcgError, match=r"GET /v1/sessions: .* another version.*\(0\.session"):
        asks.sessions().read(b'[{"gone": 1}]')
