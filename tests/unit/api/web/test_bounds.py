"""Clients that come in crowds, dawdle or do not read."""

import contextlib
import socket
from collections.abc import Iterator

import httpx2
import pytest

from agentcg.api import protocol
from agentcg.api.web import protocol as web_protocol
from agentcg.api.web.guard import HEADERS, STREAMS
from agentcg.model.grant import Grant
from agentcg.model.intent import Intent
from tests.unit.api.fake import HOME, Running
from tests.unit.api.test_server import eventually, fds, gone
from tests.unit.api.web.asking import bearer, browser, token

CROWD = 200


@contextlib.contextmanager
def connected(server: Running, *, room: int | None = None) -> Iterator[socket.socket]:
    """A connection; `room` is how much of what is sent to it the kernel keeps."""
    with socket.socket() as sock:
        if room is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.settimeout(30)
        sock.connect(("127.0.0.1", server.web))
        yield sock


def request(server: Running, path: str, secret: str = "") -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.web}"]
    if secret:
        lines.append(f"Authorization: Bearer {secret}")
    return "\r\n".join([*lines, "", ""]).encode()


def test_of_a_crowd_of_streams_some_are_served_and_the_others_told(
    server: Running, admin: httpx2.Client
) -> None:
    asked = request(server, "/v1/events", token(server))
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connected(server)) for _ in range(CROWD)]
        for sock in crowd:
            sock.sendall(asked)
        heads = [sock.recv(12) for sock in crowd]
        assert sorted(heads) == [b"HTTP/1.1 200"] * STREAMS + [b"HTTP/1.1 503"] * (CROWD - STREAMS)
        refused = crowd[heads.index(b"HTTP/1.1 503")].makefile("rb").read()
        assert b"urn:agentcg:problem:unavailable" in refused
        eventually(lambda: server.controller.streams == STREAMS)
        assert admin.get("/healthz").status_code == 200
    eventually(lambda: server.controller.streams == 0)
    with browser(server, **bearer(token(server))) as client:
        assert client.get("/v1/host").status_code == 200


def test_half_a_request_is_dropped(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_WITHIN", 0.2)
    with connected(server) as sock:
        sock.sendall(b"GET /ui HT")
        assert gone(sock)


def test_rubbish_is_answered_with_a_problem(server: Running) -> None:
    with connected(server) as sock:
        sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = sock.makefile("rb").read().lower()
    assert answer.startswith(b"http/1.1 400")
    assert b"urn:agentcg:problem:bad-request" in answer
    for name, value in HEADERS.items():
        assert f"{name}: {value}\r\n".encode().lower() in answer


def test_who_asks_and_asks_without_a_token_gets_one_answer(server: Running) -> None:
    before = fds()
    with connected(server, room=2048) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(request(server, "/v1/calls") * 1000)
        eventually(lambda: fds() <= before + 1)  # this end alone


def test_who_does_not_read_is_cut_off(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_protocol, "TAKEN_WITHIN", 0.2)
    for n in range(100):
        server.controller.add(f"c-{n}", Intent(command="x" * 30_000), Grant(), session=HOME)
    secret, before = token(server), fds()
    with connected(server, room=2048) as sock:
        sock.sendall(request(server, "/v1/calls", secret) * 3)
        assert sock.recv(1, socket.MSG_PEEK) == b"H"
        eventually(lambda: fds() <= before + 1)


def test_who_reads_slowly_gets_it_all(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(100):
        server.controller.add(f"c-{n}", Intent(command="x" * 30_000), Grant(), session=HOME)
    with browser(server, **bearer(token(server))) as client, client.stream("GET", "/v1/calls") as a:
        assert sum(len(part) for part in a.iter_bytes(4096)) > 3_000_000


def test_a_crowd_of_idle_connections_makes_room(server: Running, admin: httpx2.Client) -> None:
    secret = token(server)
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(connected(server))
        with browser(server, **bearer(secret)) as client:
            assert client.get("/v1/host").status_code == 200
        assert admin.get("/healthz").status_code == 200
