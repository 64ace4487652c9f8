"""A daemon of one answer, and the reference for what goes over the wire."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Script = Callable[[socket.socket], None]


@dataclass
class Seen:
    """What the peer learnt of one request, and of the process that waits for its answer."""

    head: bytes = b""
    body: bytes = b""
    pid: int = 0
    uid: int = -1
    threads: int = 0
    children: str = "not read"
    errors: list[BaseException] = field(default_factory=list)

    @property
    def records(self) -> list[bytes]:
        assert self.body.endswith(b"\0")
        return self.body[:-1].split(b"\0")

    def tagged(self, tag: bytes) -> list[bytes]:
        return [record[1:] for record in self.records if record[:1] == tag]


def records(*texts: bytes) -> bytes:
    return b"".join(text + b"\0" for text in texts)


def ok(*texts: bytes) -> bytes:
    body = records(*texts)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def read_request(conn: socket.socket, seen: Seen) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += conn.recv(65536) or b"\r\n\r\n"
    seen.head, _, body = data.partition(b"\r\n\r\n")
    length = int(seen.head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        more = conn.recv(65536)
        assert more, "the request ended early"
        body += more
    assert len(body) == length
    seen.body = body


def inspect(conn: socket.socket, seen: Seen) -> None:
    size = struct.calcsize("3i")
    raw = conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    seen.pid, seen.uid, _ = struct.unpack("3i", raw)
    proc = Path(f"/proc/{seen.pid}")
    seen.threads = len(list((proc / "task").iterdir()))
    with contextlib.suppress(FileNotFoundError):  # needs CONFIG_PROC_CHILDREN
        seen.children = (proc / "task" / str(seen.pid) / "children").read_text().strip()


def serve_one(listener: socket.socket, script: Script, seen: Seen) -> None:
    conn, _ = listener.accept()
    with conn:
        conn.settimeout(20)
        read_request(conn, seen)
        inspect(conn, seen)
        # The client may have heard enough and gone before all is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            script(conn)


def listen(path: Path, backlog: int = 8) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen(backlog)
    listener.settimeout(20)
    return listener


@contextlib.contextmanager
def peer(path: Path, answer: bytes | Script) -> Iterator[Seen]:
    """Serve one connection; read Seen after the block."""
    with serving(path, [answer]) as seen:
        yield seen[0]


@contextlib.contextmanager
def serving(path: Path, answers: Sequence[bytes | Script]) -> Iterator[list[Seen]]:
    """Serve as many connections as there are answers."""
    seen = [Seen() for _ in answers]

    def work() -> None:
        for one, answer in zip(seen, answers, strict=True):
            script = (lambda c, a=answer: c.sendall(a)) if isinstance(answer, bytes) else answer
            try:
                serve_one(listener, script, one)
            except (OSError, AssertionError, IndexError, ValueError) as error:
                one.errors.append(error)

    with listen(path) as listener:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield seen
        thread.join(timeout=25)
        assert not thread.is_alive()
    path.unlink()
    assert [error for one in seen for error in one.errors] == []
