import json
import logging
import time

import httpx2
import pytest

from agentcg.errors import CgroupError, ConflictError, ProcessGoneError
from tests.unit.api.fake import Running


def problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, object]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, object] = answer.json()
    assert found["type"] == f"urn:agentcg:problem:{slug}"
    assert found["status"] == status
    assert found["title"]
    assert "Traceback" not in answer.text
    return found


def test_a_wrong_field_is_named_with_its_value(agent: httpx2.Client) -> None:
    answer = agent.post("/v1/sessions/self/calls", json={"memory": {"limit": "2 gallons"}})
    found = problem(answer, 422, "bad-value")
    assert found["errors"] == [
        {
            "field": "memory.limit",
            "message": "'2 gallons' is not a usable size: write an integer of bytes or a string "
            'such as "512MiB" or "1.5G"',
        }
    ]
    assert str(found["detail"]).startswith("memory.limit: '2 gallons'")


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"memo": {}}, "memo", "no such field"),
        ({"pids": 1}, "pids", "greater than or equal to 2, not 1"),
        ({"cpu": {"class": "slow"}}, "cpu.class", "not 'slow'"),
        ({"memory": "2g"}, "memory", "not '2g'"),
        ({"tool": "x" * 200}, "tool", "at most 128"),
        ([], "body", "not a list"),
    ],
)
def test_what_is_wrong_is_said(agent: httpx2.Client, body: object, field: str, words: str) -> None:
    found = problem(agent.post("/v1/sessions/self/calls", json=body), 422, "bad-value")
    errors = found["errors"]
    assert isinstance(errors, list)
    assert errors[0]["field"] == field
    assert words in errors[0]["message"]


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b"[" * 60000, b'{"pids": ' + b"9" * 5000 + b"}"]
)
def test_what_is_not_json_is_refused(agent: httpx2.Client, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = agent.post("/v1/sessions/self/calls", content=content, headers=headers)
    problem(answer, 400, "bad-request")


def test_unknown_routes_and_methods_are_problems(agent: httpx2.Client) -> None:
    problem(agent.get("/v2/nothing"), 404, "no-route")
    answer = agent.put("/v1/calls/x")
    problem(answer, 405, "method-not-allowed")
    assert "PATCH" in answer.headers["allow"]
    problem(agent.get("/openapi.json"), 404, "no-route")


def test_an_id_that_is_none_is_refused(agent: httpx2.Client) -> None:
    problem(agent.get("/v1/calls/memory.max"), 422, "bad-value")
    problem(agent.get("/v1/calls/" + "x" * 64), 422, "bad-value")
    problem(agent.get("/v1/calls/c-none"), 404, "not-found")


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (ConflictError("call c is exited"), 409, "conflict"),
        (ProcessGoneError(7), 409, "process-gone"),
        (CgroupError("/x/memory.max", "12", errno=22), 500, "cgroup"),
        (ConflictError("half a pair \ud800"), 409, "conflict"),
    ],
)
def test_errors_of_the_daemon_keep_their_words(
    agent: httpx2.Client, server: Running, error: Exception, status: int, slug: str
) -> None:
    server.controller.failure = error
    answer = agent.get("/v1/calls")
    problem(answer, status, slug)
    assert json.loads(answer.content)["detail"] == str(error)


def test_a_defect_is_logged_and_its_inside_is_not_told(
    agent: httpx2.Client, server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    server.controller.failure = ZeroDivisionError("secret inside")
    with caplog.at_level(logging.ERROR):
        found = problem(agent.get("/v1/calls"), 500, "internal")
    assert "secret" not in str(found)
    end = time.monotonic() + 30
    while "secret inside" not in caplog.text:
        assert time.monotonic() < end
        time.sleep(0.01)
    server.controller.failure = None
    assert agent.get("/v1/calls").status_code == 200


def test_a_body_of_64_kib_is_read_and_one_byte_more_is_not(agent: httpx2.Client) -> None:
    url, headers = "/v1/sessions/self/calls", {"content-type": "application/json"}
    body = b'{"tool":"x"' + b" " * (65536 - 12) + b"}"
    assert agent.post(url, content=body, headers=headers).status_code == 201
    problem(agent.post(url, content=body + b" ", headers=headers), 413, "too-large")
    assert agent.get("/healthz").status_code == 200


def test_a_body_of_unannounced_length_is_counted(agent: httpx2.Client) -> None:
    chunks = (b" " * 8192 for _ in range(9))
    headers = {"content-type": "application/json"}
    answer = agent.post("/v1/sessions/self/calls", content=chunks, headers=headers)
    problem(answer, 413, "too-large")
