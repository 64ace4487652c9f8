"""A TCP port on loopback in front of a Unix socket: PORT_FILE SOCKET.

Tools that speak TCP only (schemathesis) reach the daemon through it, as whoever runs it: the
bridge's own cgroup is what the daemon sees.
"""

import contextlib
import socket
import sys
import threading
from pathlib import Path


def main() -> None:
    port_file, target = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0))
    Path(port_file).write_text(str(listener.getsockname()[1]))
    while True:
        client, _ = listener.accept()
        daemon = socket.socket(socket.AF_UNIX)
        daemon.connect(target)
        for source, sink in ((client, daemon), (daemon, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
