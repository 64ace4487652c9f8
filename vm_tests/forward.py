"""A TCP port of the machine's loopback, at the same port of this host's.

    with forward.listener() as door:
        port = door.getsockname()[1]  # what a server in the machine is told to listen at
        forward.serve(vm, door)

The machine has no network: each connection is a command in it. With one port on both sides, what a
server checks of the address that it is asked by holds here too.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial

from vm_tests.errors import HarnessError
from vm_tests.vm import Vm
from vm_tests.wire import MAX_PAYLOAD

# It ends when either side does.
_RELAY = 'exec 3<>"/dev/tcp/127.0.0.1/$0"; cat <&3 & cat <&0 >&3 & wait -n; kill $(jobs -p)'
_SECONDS = 3600


def listener() -> socket.socket:
    """A port of this host that is free."""
    return socket.create_server(("127.0.0.1", 0))


def serve(vm: Vm, door: socket.socket) -> None:
    """Bring what connects there into the machine, in threads."""
    threading.Thread(target=_accept, args=(vm, door), daemon=True).start()


def _accept(vm: Vm, door: socket.socket) -> None:
    port = door.getsockname()[1]
    with contextlib.suppress(OSError):
        while True:
            connection, _ = door.accept()
            threading.Thread(target=_relay, args=(vm, connection, port), daemon=True).start()


def _relay(vm: Vm, connection: socket.socket, port: int) -> None:
    command = ["bash", "-c", _RELAY, str(port)]
    # Either side may go at any time, and the machine too.
    with connection, contextlib.suppress(OSError, HarnessError):
        vm.run(
            command,
            stream=connection.sendall,
            errors=lambda _: None,
            stdin=_chunks(connection),
            timeout=_SECONDS,
        )
        # A thread that waits for it keeps it open, whoever closes it.
        connection.shutdown(socket.SHUT_RDWR)


def _chunks(connection: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        yield from iter(partial(connection.recv, MAX_PAYLOAD), b"")
