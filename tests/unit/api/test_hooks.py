import httpx2
import pytest

from agentcg.api.body_limit import MAX_BODY, MAX_LARGE
from agentcg.errors import LimitError
from tests.unit.api.fake import Running


@pytest.mark.parametrize("body", [b"", b"{", b"\0\xff", b"x" * MAX_LARGE])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-any"])
def test_any_bytes_are_handed_on_and_what_comes_is_answered(
    agent: httpx2.Client, server: Running, body: bytes, kind: str
) -> None:
    server.controller.said = b'{"a": 1}'
    answer = agent.post("/v1/hooks/claude-code", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.content) == (200, b'{"a": 1}')
    assert answer.headers["content-length"] == "8"
    assert server.controller.bodies == [body]


def test_nothing_to_say_is_an_empty_body(agent: httpx2.Client) -> None:
    answer = agent.post("/v1/hooks/claude-code", content=b"{}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "0"
    assert "content-type" not in answer.headers


def test_more_than_a_hook_may_bring_is_refused_here_as_elsewhere(agent: httpx2.Client) -> None:
    assert agent.post("/v1/hooks/codex", content=b"x" * (MAX_LARGE + 1)).status_code == 413
    assert agent.post("/v1/acg/run", content=b"x" * (MAX_BODY + 1)).status_code == 413


def test_a_harness_that_is_not_known_is_named(agent: httpx2.Client) -> None:
    answer = agent.post("/v1/hooks/vi", content=b"{}")
    assert answer.status_code == 404
    assert "'vi'" in answer.json()["detail"]


def test_a_wrapped_line_is_marked(agent: httpx2.Client, server: Running) -> None:
    kind = {"content-type": "application/vnd.agentcg.acg"}
    answer = agent.post("/v1/acg/shell", content=b"Aeval x\0", headers=kind)
    assert answer.content == b"EA=1\0Mhello\0"
    assert server.controller.bodies == [[("line", ""), ("A", "eval x")]]
    server.controller.placement = LimitError("no room")
    answer = agent.post("/v1/acg/shell", content=b"Aeval x\0", headers=kind)
    assert answer.content == b"Magentcg: no room\0X125\0"
