"""A collector of spans: OTLP over HTTP, in JSON."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override


@dataclass
class Collector:
    """What it was sent; `statuses` are its next answers, then 200."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    attempts: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, path: str, headers: dict[str, str], sent: bytes) -> int:
        self.attempts += 1
        self.paths.append(path)
        self.headers.append(headers)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            for resource in json.loads(sent)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    self.spans += scope["spans"]
        return status


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            status = made.take(self.path, dict(self.headers), sent)
            told = json.dumps(made.answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        @override
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join(10)


def until(check: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 20
    while not check():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.01)
