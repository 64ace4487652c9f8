"""The guest's end: runs commands for the host over a virtio-serial port.

It needs Python's standard library only and runs on the guest's system Python, so that it works
before, and whether or not, agentcg is installed. Its unit starts it after dockerd: its hello means
that the machine is ready.
"""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO

from vm_tests.wire import MAX_PAYLOAD, PORT_NAME, Frame, Kind, encode, read_frame


class Port:
    """The virtio-serial port as a stream."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def read(self, n: int, /) -> bytes:
        """Return up to n bytes; none when the host closed its end."""
        return os.read(self._fd, n)

    def write(self, data: bytes) -> None:
        """Write everything: the driver takes as much as its buffer holds."""
        while data:
            data = data[os.write(self._fd, data) :]


class Agent:
    """Serves one host until the port closes."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._write_lock = threading.Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def serve(self) -> None:
        """Say hello, then obey frames for ever."""
        self._send(Frame(0, Kind.HELLO))
        while True:
            self._obey(read_frame(self._port))

    def _obey(self, frame: Frame) -> None:
        if frame.kind is Kind.EXEC:
            self._start(frame)
            return
        process = self._running.get(frame.channel)
        if process is None:  # it ended while the host's frame was under way
            return
        if frame.kind is Kind.KILL:
            os.killpg(process.pid, signal.SIGKILL)
        elif frame.kind is Kind.STDIN:
            self._feed(process, frame.payload)

    def _start(self, frame: Frame) -> None:
        order = json.loads(frame.payload)
        try:
            process = subprocess.Popen(
                # The agent is protected from the OOM killer; what it runs must not be.
                ["choom", "-n", "0", "--", *order["argv"]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=order["cwd"],
                env={**os.environ, **order["env"]},
                start_new_session=True,
            )
        except OSError as error:
            self._send(Frame(frame.channel, Kind.STDERR, f"{error}\n".encode()))
            self._send(Frame(frame.channel, Kind.EXIT, b"127"))
            return
        self._running[frame.channel] = process
        threading.Thread(target=self._follow, args=(frame.channel, process), daemon=True).start()

    def _follow(self, channel: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        pumps = [
            threading.Thread(target=self._pump, args=(channel, kind, pipe), daemon=True)
            for kind, pipe in ((Kind.STDOUT, process.stdout), (Kind.STDERR, process.stderr))
        ]
        for pump in pumps:
            pump.start()
        status = process.wait()
        # A daemon left behind may hold the pipes open for ever: what is written by now is enough.
        for pump in pumps:
            pump.join(timeout=1)
        del self._running[channel]
        self._send(Frame(channel, Kind.EXIT, str(status).encode()))

    def _pump(self, channel: int, kind: Kind, pipe: IO[bytes]) -> None:
        while chunk := os.read(pipe.fileno(), MAX_PAYLOAD):
            self._send(Frame(channel, kind, chunk))

    def _feed(self, process: subprocess.Popen[bytes], data: bytes) -> None:
        assert process.stdin is not None
        try:
            if data:
                process.stdin.write(data)
                process.stdin.flush()
            else:
                process.stdin.close()
        except BrokenPipeError:  # the command does not care for its input
            pass

    def _send(self, frame: Frame) -> None:
        with self._write_lock:
            self._port.write(encode(frame))


def main() -> None:
    """Open the port and serve."""
    Agent(Port(Path("/dev/virtio-ports") / PORT_NAME)).serve()


if __name__ == "__main__":
    main()
