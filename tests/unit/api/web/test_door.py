"""Who gets what at the web view's door."""

import httpx2
import pytest
from fastapi.routing import APIRoute

from agentcg.api.controller import Role
from agentcg.api.web import access
from agentcg.api.web.app import READ, create_web
from agentcg.api.web.guard import HEADERS, Guard
from tests.unit.api.fake import FakeController, Running
from tests.unit.api.web.asking import bearer, browser, secret, token

DATA = (
    "/v1/host",
    "/v1/sessions",
    "/v1/sessions/s-home/trace",
    "/v1/calls",
    "/v1/calls/c-0",
    "/v1/calls/c-0/trace",
    "/v1/calls/c-0/explanation",
    "/v1/accounts",
    "/v1/events",
    "/ui/machine",
)


def test_the_page_is_for_everybody_and_has_no_data(stranger: httpx2.Client) -> None:
    page = stranger.get("/ui")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in ("/ui/app.js", "/ui/style.css"):
        assert path in page.text
        assert stranger.get(path).status_code == 200
    # Nothing inline, which the policy would forbid, and nothing from elsewhere.
    for word in ("<style", "style=", "onload", "http:", "https:", "<script>"):
        assert word not in page.text


@pytest.mark.parametrize("path", [*DATA, "/healthz", "/metrics", "/v1/x", "/ui/x", "/"])
def test_without_a_token_nothing_is_told(
    stranger: httpx2.Client, server: Running, path: str
) -> None:
    for headers in ({}, bearer("x"), {"Cookie": "token=x"}, {"Authorization": "Basic eDp4"}):
        answer = stranger.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["connection"] == "close"
        assert "agentcg ui" in answer.json()["detail"]
    assert server.controller.peers == []


def test_with_a_token_the_administrators_reading_is_there(
    looking: httpx2.Client, server: Running, admin: httpx2.Client
) -> None:
    admin.post("/v1/sessions/s-home/calls", json={"command": "ls"})
    for path in DATA:
        if path != "/v1/events":
            assert looking.get(path).is_success, path
    assert looking.get("/v1/calls").json() == admin.get("/v1/calls").json()
    assert looking.get("/ui/machine").json()["machine"]["memory"] > 0
    with looking.stream("GET", "/v1/events", params={"after": 0}) as stream:
        assert next(stream.iter_lines()) == "event: daemon"


def test_only_what_reads_is_there(looking: httpx2.Client) -> None:
    for path in ("/metrics", "/healthz", "/v1/stats", "/v1/recorded", "/v1/ui/links", "/ui/.."):
        assert looking.get(path).status_code == 404, path
    assert len(READ) == len(DATA) - 1


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(looking: httpx2.Client, server: Running, method: str) -> None:
    for path in ("/v1/sessions", "/v1/calls/c-0", "/v1/sessions/s-home/calls", "/ui", "/x"):
        answer = looking.request(method, path)
        assert answer.status_code == 405
        assert "access-control-allow-origin" not in answer.headers
    assert server.controller.bodies == []


def test_a_link_is_not_burnt_by_a_look(stranger: httpx2.Client, server: Running) -> None:
    found = secret(server)
    for method in ("HEAD", "GET", "OPTIONS"):
        assert (
            stranger.request(method, "/ui/enter", headers=bearer(found)).headers["allow"] == "POST"
        )
        # What a prefetch gets: the secret stays in the browser.
        stranger.request(method, "/ui")
    assert stranger.post("/ui/enter", headers=bearer(found)).status_code == 200
    again = stranger.post("/ui/enter", headers=bearer(found))
    assert again.status_code == 403
    assert "used already" in again.json()["detail"]
    assert stranger.post("/ui/enter").status_code == 403


@pytest.mark.parametrize(
    "host", ["localhost:{}", "evil.example:{}", "127.0.0.1", "127.0.0.2:{}", "127.0.0.1:1", ""]
)
def test_another_host_is_refused(looking: httpx2.Client, server: Running, host: str) -> None:
    for path in ("/ui", "/v1/sessions"):
        answer = looking.get(path, headers={"Host": host.format(server.web)})
        assert answer.status_code in {400, 403}
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_from_elsewhere_is_refused(
    looking: httpx2.Client, server: Running, headers: dict[str, str]
) -> None:
    assert looking.get("/v1/sessions", headers=headers).status_code == 403
    found = secret(server)
    assert looking.post("/ui/enter", headers={**headers, **bearer(found)}).status_code == 403
    own = {"Origin": f"http://127.0.0.1:{server.web}", "Sec-Fetch-Site": "same-origin"}
    assert looking.get("/v1/sessions", headers=own).status_code == 200
    assert looking.post("/ui/enter", headers={**own, **bearer(found)}).status_code == 200


def test_every_answer_says_what_a_browser_may_do_with_it(
    stranger: httpx2.Client, looking: httpx2.Client, server: Running
) -> None:
    server.controller.failure = RuntimeError("x")
    answers = [stranger.get(p) for p in ("/ui", "/ui/app.js", "/x", "/v1/calls")]
    answers += [looking.get(p) for p in ("/v1/calls", "/v1/calls/a.b", "/x", "/v1/host")]
    answers.append(stranger.post("/x"))
    assert {answer.status_code for answer in answers} >= {200, 401, 404, 405, 422, 500}
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "path", ["/ui/../app.py", "/ui/%2e%2e/app.py", "/ui/..%2fapp.py", "/ui/%2fetc%2fpasswd", "/ui/"]
)
def test_no_other_file_is_served(server: Running, looking: httpx2.Client, path: str) -> None:
    answer = looking.get(httpx2.URL(f"http://127.0.0.1:{server.web}", raw_path=path.encode()))
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_links_are_the_administrators(
    agent: httpx2.Client, admin: httpx2.Client, server: Running
) -> None:
    assert agent.post("/v1/ui/links").status_code == 403
    for role in (Role.SESSION, Role.CALL, Role.NOBODY):
        server.controller.role = role
        assert admin.post("/v1/ui/links").status_code == 403


def test_two_browsers_have_a_token_each(server: Running) -> None:
    with browser(server) as client:
        tokens = [
            client.post("/ui/enter", headers=bearer(secret(server))).json()["token"]
            for _ in range(2)
        ]
        assert tokens[0] != tokens[1]
        for one in tokens:
            assert client.get("/v1/sessions", headers=bearer(one)).status_code == 200


def test_a_stream_ends_with_its_token(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "TOKEN_FOR", 0.5)
    with (
        browser(server, **bearer(token(server))) as client,
        client.stream("GET", "/v1/events") as answer,
        pytest.raises(httpx2.TransportError),
    ):
        assert answer.status_code == 200
        for _ in answer.iter_bytes():
            pass


def test_the_door_alone_gives_nobody_a_right(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guard, "_problem", lambda *_: None)
    with browser(server) as client:
        assert client.get("/v1/sessions").status_code == 403
        assert client.get("/v1/sessions", headers=bearer(token(server))).status_code == 200


def test_what_the_page_reads_is_there_and_reads_only() -> None:
    routes = create_web(FakeController(), access.Access(0)).router.routes
    reading = [route for route in routes if isinstance(route, APIRoute)]
    assert {route.path for route in reading} == READ
    assert all(route.methods == {"GET"} for route in reading)
