"""The routes of what was recorded."""

from dataclasses import replace

import httpx2
import pytest

from agentcg.model.trace import Window
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.courses import course


def test_a_trace_is_answered_with_its_samples_and_events(
    agent: httpx2.Client, server: Running
) -> None:
    server.controller.traces["c-1"] = course()
    found = agent.get("/v1/calls/c-1/trace").json()
    assert len(found["samples"]) == 600
    assert found["samples"][0]["usage"]["cpu"] == 0.0
    assert found["events"][0]["kind"] == "call.declared"
    assert found["call"]["id"] == "c-aaaa2222"
    assert server.controller.bodies[-1] == Window()


def test_a_session_is_itself(agent: httpx2.Client, server: Running) -> None:
    assert agent.get("/v1/sessions/self/trace").json()["session"] == HOME
    asked = {"since": 5, "until": 7.5, "points": 3}
    assert agent.get("/v1/sessions/self/trace", params=asked).status_code == 200
    assert server.controller.bodies[-1] == Window(5.0, 7.5, 3)
    assert agent.get("/v1/stats", params={"points": 1}).json() == []


@pytest.mark.parametrize(
    "query", ["since=-1", "since=nan", "until=inf", "points=0", "points=2001", "points=x"]
)
def test_an_answer_is_bounded(agent: httpx2.Client, query: str) -> None:
    for path in ("/v1/calls/c-1/trace", "/v1/sessions/self/trace", "/v1/stats"):
        assert agent.get(f"{path}?{query}").status_code == 422


def test_the_largest_answer_is_below_a_mib(agent: httpx2.Client, server: Running) -> None:
    found = course()
    full = [one for one in found.samples if one.full][:1] * 2000
    server.controller.traces["c-1"] = replace(found, samples=tuple(full))
    assert len(agent.get("/v1/calls/c-1/trace").content) < 1 << 20
