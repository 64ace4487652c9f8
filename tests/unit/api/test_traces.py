"""The routes of what was recorded."""

from dataclasses import replace

import httpx2
import pytest

from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account, Recorded, Window
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
    lists = ("/v1/stats", "/v1/accounts", "/v1/recorded")
    for path in ("/v1/calls/c-1/trace", "/v1/sessions/self/trace", *lists):
        assert agent.get(f"{path}?{query}").status_code == 422


def test_the_largest_answer_is_below_a_mib(agent: httpx2.Client, server: Running) -> None:
    found = course()
    full = [one for one in found.samples if one.full][:1] * 2000
    server.controller.traces["c-1"] = replace(found, samples=tuple(full))
    assert len(agent.get("/v1/calls/c-1/trace").content) < 1 << 20


def test_lists_are_answered_in_pages(agent: httpx2.Client, server: Running) -> None:
    known = server.controller.past_calls
    known.accounts = [
        Account(CallId(f"c-{n}"), HOME, "ls", 5.0, Cause.EXITED, peak=n) for n in range(3)
    ]
    known.recorded = [Recorded(SessionId(f"s-{n}"), 1.0, 2.0) for n in range(3)]
    first = agent.get("/v1/accounts", params={"points": 2}).json()
    assert [one["call"] for one in first] == ["c-2", "c-1"]
    rest: dict[str, str | float] = {"until": 5.0, "before": "c-1", "session": HOME}
    assert [one["peak"] for one in agent.get("/v1/accounts", params=rest).json()] == [0]
    assert agent.get("/v1/recorded", params={"points": 1}).json() == [
        {"session": "s-0", "since": 1.0, "until": 2.0}
    ]
    behind = agent.get("/v1/recorded", params={"after": "s-1"}).json()
    assert [one["session"] for one in behind] == ["s-2"]


def test_records_of_calls_are_few_at_a_time(admin: httpx2.Client, server: Running) -> None:
    for n in range(201):
        server.controller.add(f"c-{n}", Intent(), Grant(), session=HOME)
    assert len(admin.get("/v1/lived", params={"points": 2000}).json()) == 200
    assert len(admin.get("/v1/lived", params={"points": 3}).json()) == 3


def test_a_page_before_a_call_needs_its_moment(agent: httpx2.Client) -> None:
    refused = agent.get("/v1/accounts", params={"before": "c-1"})
    assert refused.status_code == 422
    assert "give `declared_at` of that call as `until`" in refused.json()["detail"]


@pytest.mark.parametrize("query", ["session=../x", "session=", f"session={'x' * 64}"])
def test_names_in_queries_are_checked(agent: httpx2.Client, query: str) -> None:
    for path in ("/v1/accounts", "/v1/recorded"):
        assert agent.get(f"{path}?{query}").status_code == 422
    assert agent.get("/v1/accounts?until=5&before=a.b").status_code == 422
    assert agent.get("/v1/recorded?after=a.b").status_code == 422
