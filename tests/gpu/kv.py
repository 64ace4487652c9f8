"""A peer of kvcached: its control file, and pages, without a GPU. It obeys what users found out:

a) a watcher stores a new limit each 0.1 s, the next allocation obeys it: an idle engine never does;
b) what requests hold and the prefix cache keeps defers a shrink, until requests end;
c) a page is of all layers;
d) five to ten free pages stay preallocated.
"""

import fcntl
import json
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

LAYERS = 36
PAGE = (2 << 20) * LAYERS * 2
KEPT, MOST = 5, 10
FIELDS = struct.Struct("<3q")


@dataclass
class Peer:
    """An engine's allocator. Pages are used by requests, cached, or preallocated."""

    file: Path
    pages: int
    mode: int = 0o666
    used: int = 0
    cached: int = 0
    preallocated: int = KEPT
    target: int = 0
    shrinking: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.target = self.pages
        fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_EXCL, self.mode)
        os.fchmod(fd, self.mode)
        os.ftruncate(fd, FIELDS.size)
        self.memory = mmap.mmap(fd, FIELDS.size)
        self.fd = fd
        self.tell(self.pages * PAGE)

    @property
    def mapped(self) -> int:
        return (self.used + self.cached + self.preallocated) * PAGE

    def tell(self, limit: int | None = None) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        kept = FIELDS.unpack(self.memory[:])[0] if limit is None else limit
        used = (self.used + self.cached) * PAGE
        self.memory[:] = FIELDS.pack(kept, used, self.preallocated * PAGE)
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def watch(self) -> None:
        """What its watcher does each 0.1 s."""
        fcntl.flock(self.fd, fcntl.LOCK_SH)
        limit = FIELDS.unpack(self.memory[:])[0]
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        with self.lock:
            self.target = limit // PAGE

    def alloc(self, pages: int = 1) -> bool:
        with self.lock:
            self._resize()
            if self.used + self.cached + pages > self.pages:
                return False
            self.preallocated = max(KEPT, self.preallocated - pages)
            self.used += pages
            self.tell()
            return True

    def free(self, pages: int, *, cache: int = 0) -> None:
        """A request is over; `cache` of its pages stay in the prefix cache."""
        with self.lock:
            self.used -= pages
            self.cached += cache
            dropped = pages - cache
            if self.shrinking:
                kept = min(self.cached, max(0, self.target - self.used))
                dropped += self.cached - kept
                self.cached = kept
                self._resize()
            self.preallocated = min(self.preallocated + dropped, MOST)
            self.tell()

    def _resize(self) -> None:
        self.shrinking = self.used + self.cached > self.target
        if not self.shrinking:
            self.pages = self.target

    def close(self) -> None:
        self.memory.close()
        os.close(self.fd)


@contextmanager
def watched(peer: Peer) -> Iterator[None]:
    """Its watcher runs."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.1):
            peer.watch()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def served(peer: Peer) -> Iterator[str]:
    """Its API: a request takes a page and gives it back. Yields the URL."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say({"data": [{"id": "tiny"}]} if self.path == "/v1/models" else None)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == "/v1/completions" and asked["model"] == "tiny"
            if known and peer.alloc():
                peer.free(1)
            self._say({"choices": [{"text": "a"}]} if known else None)

        def _say(self, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        @override
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
