import httpx2
import pytest

from agentcg.model.gpu import ProgramPhase
from tests.unit.api.fake import Running

GIB = 1 << 30


def test_a_call_says_in_its_intent_what_gpu_memory_it_needs(agent: httpx2.Client) -> None:
    gpu = {"memory": "8g", "min": "4g", "duration": "2m", "wait": 5, "on_deny": "cpu"}
    answer = agent.post("/v1/sessions/self/calls", json={"gpu": gpu}).json()
    wish = answer["call"]["intent"]["gpu"]
    assert (wish["memory"], wish["least"], wish["duration"]) == (8 * GIB, 4 * GIB, 120.0)
    assert (wish["wait"], wish["on_deny"]) == (5.0, "cpu")
    assert answer["leases"] == []


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        ({}, "gpu.memory: this field is required"),
        ({"memory": 0}, "gpu.memory: Input should be greater than 0"),
        ({"memory": "1g", "min": "2g"}, "min 2 GiB is above memory 1 GiB"),
        ({"memory": "1g", "gpu": "x\n"}, "gpu.gpu: String should match"),
        ({"memory": "1g", "program": "a b"}, "gpu.program: String should match"),
        ({"memory": "1g", "wait": -1}, "gpu.wait: -1 is not a usable duration"),
        ({"memory": "1g", "seconds": 1}, "gpu.seconds: there is no such field"),
    ],
)
def test_a_wish_that_is_wrong_is_named(
    agent: httpx2.Client, gpu: dict[str, object], words: str
) -> None:
    answer = agent.post("/v1/sessions/self/calls", json={"gpu": gpu})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_lease_goes_through_its_life(agent: httpx2.Client) -> None:
    asked = agent.post("/v1/gpu/leases", json={"call": "c-1", "memory": "8g"})
    assert asked.status_code == 201
    assert (asked.json()["state"], asked.json()["bytes"]) == ("granted", 8 * GIB)
    lease = asked.json()["id"]
    assert agent.get(f"/v1/gpu/leases/{lease}").json() == asked.json()
    changed = agent.patch(f"/v1/gpu/leases/{lease}", json={"memory": "9g"}).json()
    assert changed["bytes"] == 9 * GIB
    assert agent.patch(f"/v1/gpu/leases/{lease}", json={}).status_code == 422
    assert [one["id"] for one in agent.get("/v1/gpu").json()["leases"]] == [lease]
    assert agent.delete(f"/v1/gpu/leases/{lease}").json()["state"] == "expiring"
    assert agent.get("/v1/gpu/leases/g-9").status_code == 404
    assert agent.get("/v1/gpu/leases/.a").status_code == 422


def test_a_program_is_told_of(agent: httpx2.Client, server: Running) -> None:
    body = {"event": "tool_start", "tool": "pytest", "eta": "12s", "kv_bytes": "1g"}
    answer = agent.post("/v1/programs/p-17/events", json=body)
    assert (answer.json()["id"], answer.json()["phase"]) == ("p-17", "tool_start")
    ((session, program, told),) = server.controller.gpus.told
    assert (session, program) == (None, "p-17")
    assert (told.event, told.eta, told.kv_bytes) == (ProgramPhase.TOOL_START, 12.0, GIB)
    for hostile in ("a%20b", "a%0A", "a%2Fb"):
        assert agent.post(f"/v1/programs/{hostile}/events", json=body).status_code in {404, 422}
    assert agent.post("/v1/programs/p/events", json={"event": "x"}).status_code == 422
