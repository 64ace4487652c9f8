"""A connection that goes on as a command's input and output."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any, cast

from vm_tests import forward
from vm_tests.vm import Sink, Vm


class Here:
    """As a machine, but commands run here."""

    def run(
        self, argv: list[str], *, stream: Sink, errors: Sink, stdin: Iterator[bytes], timeout: float
    ) -> int:
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdin=pipe, stdout=pipe, bufsize=0) as process:
            assert process.stdin
            assert process.stdout
            said = threading.Thread(target=self._type, args=(process.stdin, stdin), daemon=True)
            said.start()
            while chunk := process.stdout.read(100):
                stream(chunk)
            return process.wait()

    def _type(self, into: Any, chunks: Iterator[bytes]) -> None:
        for chunk in chunks:
            into.write(chunk)
        into.close()


def test_a_connection_is_answered_while_it_stays_open_and_ends_with_the_server() -> None:
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server, ours:
        words = (cast(Vm, Here()), theirs, server.getsockname()[1])
        relay = threading.Thread(target=forward._relay, args=words)
        relay.start()
        served, _ = server.accept()
        with served:
            for _ in range(2):
                ours.sendall(b"asks")
                assert served.recv(100) == b"asks"
                served.sendall(b"answers")
                assert ours.recv(100) == b"answers"
        assert ours.recv(100) == b""
    relay.join(30)
    assert not relay.is_alive()
