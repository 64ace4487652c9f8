"""A Docker engine that only knows what tests told it, speaking HTTP on a Unix socket."""

import json
import queue
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import override

API = "1.47"


class Dockerd:
    """`containers` by id, as `docker inspect` shows them. `slow` delays every answer."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {"sha256:img": {"Config": {"Labels": {}}}}
        self.slow = 0.0
        self.runtimes: dict[str, Any] = {"runc": {"path": "runc"}}
        self.execs: dict[str, dict[str, Any]] = {}
        self.subscribers: list[queue.Queue[dict[str, Any] | None]] = []
        self._server: _Server | None = None

    def run(self, cid: str, **facts: Any) -> dict[str, Any]:
        """A container starts."""
        made: dict[str, Any] = {
            "Id": cid,
            "Name": f"/{facts.pop('name', 'box')}",
            "Image": "sha256:img",
            "State": {
                "Running": True,
                "Pid": facts.pop("pid", 0),
                "StartedAt": facts.pop("started", "2026-01-01T00:00:00Z"),
            },
            "Config": {
                "Image": facts.pop("image", "busybox"),
                "Labels": facts.pop("labels", {}),
            },
            "HostConfig": facts.pop("host", {}),
            "Mounts": facts.pop("mounts", []),
        }
        self.containers[cid] = made
        self.tell("start", cid)
        return made

    def die(self, cid: str) -> None:
        self.containers.pop(cid, None)
        self.tell("die", cid)

    def tell(self, action: str, cid: str, **about: str) -> None:
        actor = {"ID": cid, "Attributes": about}
        for subscriber in self.subscribers:
            subscriber.put({"Type": "container", "Action": action, "Actor": actor})

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._server = _Server(str(self.socket), self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is None:
            return
        self._server.shutdown()
        for subscriber in self.subscribers:
            subscriber.put(None)
        self._server.server_close()
        self._server = None
        self.socket.unlink(missing_ok=True)


@contextmanager
def running(socket: Path) -> Iterator[Dockerd]:
    engine = Dockerd(socket)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, engine: Dockerd) -> None:
        self.engine = engine
        super().__init__(path, _Handler)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @override
    def address_string(self) -> str:
        return "unix"

    @override
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        engine = server.engine
        time.sleep(engine.slow)
        match urlsplit(self.path).path.removeprefix(f"/v{API}").strip("/").split("/"):
            case ["version"]:
                self._answer({"ApiVersion": API, "MinAPIVersion": "1.24"})
            case ["info"]:
                self._answer({"Runtimes": engine.runtimes})
            case ["exec", name, "json"]:
                self._answer(engine.execs.get(name), missing=f"No such exec instance: {name}")
            case ["containers", "json"]:
                self._answer([{"Id": cid} for cid in engine.containers])
            case ["containers", name, "json"]:
                found = engine.containers.get(name) or next(
                    (c for c in engine.containers.values() if c["Name"] == f"/{name}"), None
                )
                self._answer(found, missing=f"No such container: {name}")
            case ["images", name, "json"]:
                self._answer(engine.images.get(name), missing=f"No such image: {name}")
            case ["events"]:
                self._events(engine)
            case _:
                self._answer(None, missing="page not found")

    def _answer(self, body: Any, missing: str = "") -> None:
        status = 404 if body is None else 200
        raw = json.dumps({"message": missing} if body is None else body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _events(self, engine: Dockerd) -> None:
        mine: queue.Queue[dict[str, Any] | None] = queue.Queue()
        engine.subscribers.append(mine)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        try:
            while (event := mine.get()) is not None:
                raw = json.dumps(event).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
                self.wfile.flush()
        except OSError:
            pass
        finally:
            engine.subscribers.remove(mine)
            self.close_connection = True
