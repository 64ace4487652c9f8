import asyncio
import errno
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx2
import pytest
from pydantic import TypeAdapter

from agentcg.api import gate, protocol
from agentcg.api.app import create_app
from agentcg.api.controller import Door, Peer
from agentcg.api.server import _warm, serve
from agentcg.errors import LimitError
from tests.unit.api.conftest import http
from tests.unit.api.fake import FakeController, Running


def connect(path: Path, timeout: float | None = 5) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(str(path))
    return sock


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def drip(sock: socket.socket) -> bool:
    try:
        sock.sendall(b"G")
    except OSError:
        return False
    return True


def gone(sock: socket.socket) -> bool:
    try:
        return sock.recv(65536) == b""
    except ConnectionResetError:
        return True


async def test_the_first_request_finds_all_validators_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[TypeAdapter[Any]] = []
    build = TypeAdapter.__init__

    def counted(adapter: TypeAdapter[Any], *args: Any, **kwargs: Any) -> None:
        made.append(adapter)
        build(adapter, *args, **kwargs)

    monkeypatch.setattr(TypeAdapter, "__init__", counted)
    app = create_app(FakeController())
    _warm(app)
    assert made
    made.clear()
    await app(
        {"type": "http", "method": "GET", "path": "/", "headers": []}, AsyncMock(), AsyncMock()
    )
    assert made == []


def test_half_a_request_is_dropped(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_WITHIN", 0.2)
    for text in (
        b"",
        b"GET /v1/ho",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    ):
        with connect(server.agent) as sock:
            sock.sendall(text)
            assert gone(sock)


def test_a_drip_of_bytes_does_not_win_time(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_WITHIN", 0.3)
    with connect(server.agent) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in sock.recv(4096)
        start = time.monotonic()
        eventually(lambda: not drip(sock))
        assert time.monotonic() - start < 2


def test_a_slow_answer_is_not_dropped(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_WITHIN", 0.1)
    server.controller.hold = asyncio.Event()
    with http(server.admin) as client:
        client.post("/v1/sessions/s-home/calls", json={})
        server.loop.call_soon_threadsafe(server.loop.call_later, 0.5, server.controller.hold.set)
        assert client.delete("/v1/calls/c-0").status_code == 200


def test_rubbish_is_answered_with_a_problem(server: Running) -> None:
    with connect(server.agent) as sock:
        sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"urn:agentcg:problem:bad-request" in answer


def test_a_head_without_end_is_refused(server: Running) -> None:
    with connect(server.agent) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * 60000)
        assert sock.recv(4096).startswith(b"HTTP/1.1 4")


def test_the_17th_connection_of_a_cgroup_is_refused(server: Running) -> None:
    with http(server.agent) as client:
        held = [connect(server.agent) for _ in range(16)]
        answer = client.get("/healthz")
        assert answer.status_code == 429
        assert answer.headers["content-type"] == "application/problem+json"
        assert "16 connections" in answer.json()["detail"]
        for sock in held:
            sock.close()
        eventually(lambda: client.get("/healthz").status_code == 200)


def test_the_17th_connection_of_a_session_is_refused(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if each came from another call of the session.
    monkeypatch.setattr(protocol, "_key", id)
    clients = [http(server.agent) for _ in range(17)]
    codes = [client.get("/healthz").status_code for client in clients]
    assert codes == [200] * 16 + [429]
    assert "session" in clients[16].get("/healthz").json()["detail"]
    clients[0].close()
    eventually(lambda: clients[16].get("/healthz").status_code == 200)
    for client in clients:
        client.close()


def test_a_peer_that_cannot_be_looked_at_is_hung_up_on(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: socket.socket) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("agentcg.kernel.pidfd.peer_pidfd", full)
        with connect(server.agent) as sock:
            assert sock.recv(1) == b""
    with http(server.agent) as client:
        assert client.get("/healthz").status_code == 200


def test_a_thousand_idle_connections_leave_the_admin_door_alone(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_key", id)
    held = [connect(server.agent, timeout=None) for _ in range(1000)]
    with http(server.admin) as client:
        start = time.monotonic()
        assert client.get("/healthz").status_code == 200
        assert time.monotonic() - start < 2
    # And an agent that asks at once still gets in: those that only wait make room.
    with http(server.agent) as client:
        assert client.get("/healthz").status_code == 200
    for sock in held:
        sock.close()


def test_busy_connections_are_never_dropped_to_make_room() -> None:
    door = gate.Gate(Door.AGENT, total=2)
    dropped: list[int] = []

    def link(n: int) -> gate.Link:
        return gate.Link(Peer(-1, n, 0), Door.AGENT, n, door, lambda: dropped.append(n))

    links = [link(n) for n in range(4)]
    door.admit(links[0])
    links[0].waiting = False
    door.admit(links[1])
    door.admit(links[2])
    assert dropped == [1]
    links[2].waiting = False
    with pytest.raises(LimitError, match="busy"):
        door.admit(links[3])
    with pytest.raises(LimitError, match="closed"):
        door.claim(links[1], None)


def test_streams_make_room_and_first_those_of_who_holds_most() -> None:
    door = gate.Gate(Door.AGENT, total=3)
    dropped: list[str] = []

    def admit(name: str, session: str) -> gate.Link:
        made = gate.Link(
            Peer(-1, 1, 0), Door.AGENT, session, door, lambda: dropped.append(name), waiting=False
        )
        door.admit(made)
        return made

    for name, session in (("a", "one"), ("b", "two"), ("c", "two")):
        admit(name, session).endless = True
    admit("d", "three")
    assert dropped == ["b"]
    admit("e", "three")
    admit("f", "three")
    with pytest.raises(LimitError, match="busy"):
        admit("g", "four")
    assert sorted(dropped) == ["a", "b", "c"]


def test_no_descriptor_is_left_behind(server: Running) -> None:
    with http(server.agent) as client:
        client.get("/healthz")
    time.sleep(0.1)
    before = fds()
    for _ in range(20):
        with http(server.agent) as client:
            client.get("/healthz")
        connect(server.agent).close()
    eventually(lambda: fds() <= before)


def test_the_pidfd_lives_as_long_as_its_request(server: Running) -> None:
    controller = server.controller
    controller.hold = asyncio.Event()
    with http(server.admin) as client:
        client.post("/v1/sessions/s-home/calls", json={})
    before = fds()
    with connect(server.admin) as sock:
        sock.sendall(b"DELETE /v1/calls/c-0 HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: len(controller.peers) == 2)
    time.sleep(0.1)
    server.loop.call_soon_threadsafe(controller.hold.set)
    eventually(lambda: controller.open_pidfds == [True])
    eventually(lambda: fds() <= before)


def test_stopping_ends_idle_connections_and_streams_at_once(server: Running) -> None:
    with http(server.agent) as idle, http(server.agent) as client:
        idle.get("/healthz")
        with client.stream("GET", "/v1/events") as stream:
            eventually(lambda: server.controller.streams == 1)
            start = time.monotonic()
            server.finish()
            assert time.monotonic() - start < 1.5
            with pytest.raises(httpx2.RemoteProtocolError):
                list(stream.iter_lines())
    assert server.controller.streams == 0


def test_stopping_lets_a_request_finish(server: Running) -> None:
    controller = server.controller
    controller.hold = asyncio.Event()
    with http(server.admin) as client:
        client.post("/v1/sessions/s-home/calls", json={})
    with connect(server.admin) as sock:
        sock.sendall(b"DELETE /v1/calls/c-0 HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: len(controller.peers) == 2)
        server.loop.call_soon_threadsafe(server.stop.set)
        server.loop.call_soon_threadsafe(server.loop.call_later, 0.3, controller.hold.set)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")


async def test_cancelling_the_server_breaks_its_connections(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        stop = asyncio.Event()
        listener.listen()
        task = asyncio.create_task(serve(FakeController(), {Door.AGENT: listener}, stop))
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
