import threading

import httpx2
import pytest

from agentcg.api.controller import Role
from agentcg.model.wire import CallPatchBody, EndBody
from tests.unit.api.fake import Running


def test_a_declared_call_is_answered_with_its_grant(agent: httpx2.Client) -> None:
    answer = agent.post(
        "/v1/sessions/self/calls",
        json={"tool": "pytest", "memory": {"limit": "2GiB"}, "cpu": {"class": "batch"}},
    )
    assert answer.status_code == 201
    call = answer.json()["call"]
    assert call["session"] == "s-home"
    assert call["intent"]["cpu"]["cpu_class"] == "batch"
    assert call["grant"]["memory_limit"] == 2 * 2**30
    assert call["grant"]["enforced"]["io.weight"] == "unsupported: no iocost"


def test_the_same_key_gives_the_same_call(agent: httpx2.Client) -> None:
    body = {"call_id": "toolu_1"}
    first, second = (agent.post("/v1/sessions/s-home/calls", json=body).json() for _ in range(2))
    assert first["call"]["id"] == second["call"]["id"]


def test_placing_is_asked_for_by_the_word_peer(agent: httpx2.Client) -> None:
    placed = agent.post("/v1/sessions/self/calls", json={"place": "peer"}).json()
    assert placed["call"]["grant"]["priority"] == 7
    assert agent.post("/v1/sessions/self/calls", json={"place": 1234}).status_code == 422


def test_a_call_goes_through_its_life(agent: httpx2.Client, server: Running) -> None:
    call = agent.post("/v1/sessions/self/calls", json={}).json()["call"]["id"]
    for verb, state in (("freeze", "frozen"), ("thaw", "running")):
        assert agent.post(f"/v1/calls/{call}/{verb}").json()["call"]["state"] == state
    assert agent.patch(f"/v1/calls/{call}", json={"memory": {"limit": "3g"}}).is_success
    assert isinstance(server.controller.bodies[-1], CallPatchBody)
    over = agent.post(f"/v1/calls/{call}/end", json={"exit_code": 3}).json()["call"]
    assert (over["state"], over["outcome"]["exit_code"]) == ("exited", 3)
    assert agent.get("/v1/calls").json() == []
    assert len(agent.get("/v1/calls", params={"all": True}).json()) == 1
    assert agent.delete(f"/v1/calls/{call}").status_code == 200


def test_ending_a_call_needs_no_body(agent: httpx2.Client) -> None:
    call = agent.post("/v1/sessions/self/calls", json={}).json()["call"]["id"]
    assert agent.post(f"/v1/calls/{call}/end").json()["call"]["outcome"]["exit_code"] is None
    assert EndBody().exit_code is None


def test_sessions_are_opened_listed_and_closed(admin: httpx2.Client) -> None:
    body = {"runtime": "docker", "container": "box", "id": "box", "budget": {"memory": "4g"}}
    opened = admin.post("/v1/sessions", json=body)
    assert opened.status_code == 201
    assert opened.json()["session"]["budget"]["memory"] == 4 * 2**30
    assert {v["session"]["id"] for v in admin.get("/v1/sessions").json()} == {"s-home", "box"}
    assert admin.get("/v1/sessions/box").json()["session"]["runtime"] == "docker"
    assert admin.delete("/v1/sessions/box").status_code == 200
    assert admin.get("/v1/sessions/box").status_code == 404


def test_the_door_decides_whom_a_caller_speaks_for(
    admin: httpx2.Client, agent: httpx2.Client
) -> None:
    admin.post("/v1/sessions", json={"runtime": "bare", "pid": 1, "id": "other"})
    assert len(admin.get("/v1/sessions").json()) == 2
    assert len(agent.get("/v1/sessions").json()) == 1
    assert agent.get("/v1/sessions/other").status_code == 404
    denied = agent.post("/v1/sessions", json={"runtime": "docker", "container": "x"})
    assert denied.status_code == 403
    assert denied.json()["type"] == "urn:agentcg:problem:denied"


def test_self_means_nothing_outside_a_session(admin: httpx2.Client) -> None:
    answer = admin.get("/v1/sessions/self")
    assert answer.status_code == 404
    assert "in no session" in answer.json()["detail"]


def test_the_peer_is_this_process(agent: httpx2.Client, server: Running) -> None:
    import os

    agent.get("/healthz")
    assert {peer.pid for peer in server.controller.peers} == {os.getpid()}


def test_every_request_identifies_its_caller_once(agent: httpx2.Client, server: Running) -> None:
    agent.post("/v1/sessions/self/calls", json={})
    agent.get("/v1/host")
    assert len(server.controller.peers) == 2


@pytest.mark.parametrize("role", list(Role))
def test_health_is_told_to_everyone(role: Role, agent: httpx2.Client, server: Running) -> None:
    server.controller.role = role
    assert agent.get("/healthz").text == "ok\n"


def test_a_request_takes_no_trip_to_another_thread(agent: httpx2.Client) -> None:
    call = agent.post("/v1/sessions/self/calls", json={}).json()["call"]["id"]
    assert agent.get(f"/v1/calls/{call}").is_success
    # The pool that the framework gives whatever is no coroutine; its threads stay for seconds.
    assert [t.name for t in threading.enumerate() if "worker" in t.name.lower()] == []
