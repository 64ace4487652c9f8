"""A running machine: commands in, output and exit statuses out.

    with Vm.boot(boot, disks) as vm:
        status = vm.run(["docker", "ps"], stream=sys.stdout.buffer.write)

A machine that dies or stops answering raises LostVMError with the end of its console.
"""

import io
import itertools
import json
import queue
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from vm_tests import cache, qemu, steps
from vm_tests.errors import HarnessError, LostVMError
from vm_tests.kernels import Boot
from vm_tests.wire import MAX_PAYLOAD, Frame, Kind, encode, read_frame

Sink = Callable[[bytes], object]

_BOOT_SECONDS = 420
_KILL_SECONDS = 30


class Vm:
    """One boot; a context manager that ends it.

    `counted`: so many CPUs, whose instructions are the guest's clock.
    """

    def __init__(
        self, boot: Boot, disks: qemu.Disks, *, terminal: bool = False, counted: int = 0
    ) -> None:
        self.console = cache.logs() / f"console-{boot.name}.log"
        self.console.write_bytes(b"")
        self._channels = itertools.count(1)
        self._inboxes: dict[int, queue.SimpleQueue[Frame | None]] = {0: queue.SimpleQueue()}
        self._lost = False
        self._write_lock = threading.Lock()
        tree = qemu.emulator()
        with (
            tempfile.TemporaryDirectory(prefix="agentcg-vm-") as folder,
            socket.socket(socket.AF_UNIX) as listener,
        ):
            path = Path(folder) / "agent"
            listener.bind(str(path))
            listener.listen(1)
            listener.settimeout(30)
            self.accelerator = qemu.accelerator(tree, boot.image, counted=counted)
            command = qemu.program(tree) + self.accelerator
            command += qemu.machine(disks, boot.image, path, self.console, counted=counted)
            log = cache.logs() / f"qemu-{boot.name}.log"
            with log.open("wb") as errors:
                self.process = subprocess.Popen(
                    command + (qemu.terminal() if terminal else []),
                    env=qemu.environment(tree),
                    stdin=None if terminal else subprocess.DEVNULL,
                    stdout=None if terminal else errors,
                    stderr=errors,
                )
            try:
                self._link, _ = listener.accept()
            except TimeoutError as error:
                self.process.kill()
                raise HarnessError(f"QEMU did not start:\n{steps.tail(log)}") from error
        threading.Thread(target=self._receive, daemon=True).start()

    @classmethod
    def boot(cls, boot: Boot, disks: qemu.Disks, *, counted: int = 0) -> Self:
        """Return a machine with systemd and dockerd up; a boot that dies is tried once more."""
        try:
            return cls._boot_once(boot, disks, counted=counted)
        except LostVMError as error:
            steps.say(f"warning: the machine died during boot, trying once more\n{error}")
            return cls._boot_once(boot, disks, counted=counted)

    @classmethod
    def _boot_once(cls, boot: Boot, disks: qemu.Disks, *, counted: int) -> Self:
        with steps.step(f"boot-{boot.name}", f"Booting Linux {boot.release}"):
            vm = cls(boot, disks, counted=counted)
            try:
                vm._next(0, time.monotonic() + _BOOT_SECONDS)
            except BaseException as error:
                vm.close()
                if isinstance(error, TimeoutError):
                    raise vm._loss(f"no sign of life in {_BOOT_SECONDS} s") from error
                raise
            print(f"    {' '.join(vm.accelerator)}", flush=True)
        return vm

    def run(
        self,
        argv: Sequence[str],
        *,
        stream: Sink,
        errors: Sink | None = None,
        stdin: bytes | Iterator[bytes] = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = "/root",
        timeout: float = 300,
    ) -> int:
        """Run a command as root, give its output to `stream` as it comes, return its exit status.

        Its errors go to `errors`, or to `stream` too. Several threads may run commands at once.
        An iterator is read in a thread of its own, so that it may wait for what the command says.
        TimeoutError: it took longer and was killed. The status of a signal is its negative number.
        """
        channel = next(self._channels)
        self._inboxes[channel] = queue.SimpleQueue()
        order = {"argv": list(argv), "env": dict(env or {}), "cwd": cwd}
        self._send(Frame(channel, Kind.EXEC, json.dumps(order).encode()))
        if isinstance(stdin, bytes):
            begins = range(0, len(stdin), MAX_PAYLOAD)
            self._type(channel, (stdin[begin : begin + MAX_PAYLOAD] for begin in begins))
        else:
            threading.Thread(target=self._type, args=(channel, stdin), daemon=True).start()
        sinks = {Kind.STDOUT: stream, Kind.STDERR: errors or stream}
        try:
            return self._follow(channel, sinks, time.monotonic() + timeout)
        except TimeoutError as late:
            self._kill(channel, sinks)
            raise TimeoutError(f"{argv[0]} took longer than {timeout:.0f} s") from late
        finally:
            del self._inboxes[channel]

    def output(self, argv: Sequence[str], *, timeout: float = 300) -> str:
        """Return what a command prints; HarnessError if it fails."""
        out, err = io.BytesIO(), io.BytesIO()
        status = self.run(argv, stream=out.write, errors=err.write, timeout=timeout)
        if status:
            raise HarnessError(f"{argv[0]} failed with status {status}: {err.getvalue().decode()}")
        return out.getvalue().decode(errors="replace")

    def put(self, archive: bytes, folder: str) -> None:
        """Unpack a tar archive in the guest's folder, made when missing."""
        err = io.BytesIO()
        self.output(["mkdir", "-p", folder])
        if self.run(["tar", "-x", "-C", folder], stream=err.write, stdin=archive):
            raise HarnessError(f"tar failed in the machine: {err.getvalue().decode()}")

    def get(self, folder: str, into: Path) -> None:
        """Copy the guest's folder."""
        out, err = io.BytesIO(), io.BytesIO()
        if self.run(["tar", "-c", "-C", folder, "."], stream=out.write, errors=err.write):
            raise HarnessError(f"tar failed in the machine: {err.getvalue().decode()}")
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
            tar.extractall(into, filter="data")

    def close(self) -> None:
        """End the machine at once: nothing on its disks is kept."""
        self.process.kill()
        self.process.wait()
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow(self, channel: int, sinks: Mapping[Kind, Sink], deadline: float) -> int:
        while (frame := self._next(channel, deadline)).kind is not Kind.EXIT:
            sinks[frame.kind](frame.payload)
        return int(frame.payload)

    def _type(self, channel: int, stdin: Iterable[bytes]) -> None:
        for chunk in stdin:
            self._send(Frame(channel, Kind.STDIN, chunk))
        self._send(Frame(channel, Kind.STDIN))

    def _kill(self, channel: int, sinks: Mapping[Kind, Sink]) -> None:
        self._send(Frame(channel, Kind.KILL))
        try:
            self._follow(channel, sinks, time.monotonic() + _KILL_SECONDS)
        except TimeoutError as error:
            raise self._loss(f"a killed command did not end in {_KILL_SECONDS} s") from error

    def _next(self, channel: int, deadline: float) -> Frame:
        try:
            frame = self._inboxes[channel].get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty as error:
            raise TimeoutError from error
        if frame is None:
            raise self._loss("the machine is gone")
        return frame

    def _send(self, frame: Frame) -> None:
        try:
            with self._write_lock:
                self._link.sendall(encode(frame))
        except OSError as error:
            raise self._loss("the machine is gone") from error
        if self._lost and (inbox := self._inboxes.get(frame.channel)):
            inbox.put(None)  # lost between the inbox's making and now

    def _receive(self) -> None:
        stream = self._link.makefile("rb")
        try:
            while True:
                frame = read_frame(stream)
                if inbox := self._inboxes.get(frame.channel):
                    inbox.put(frame)
        except (EOFError, OSError, ValueError):
            self._lost = True
            for inbox in list(self._inboxes.values()):
                inbox.put(None)

    def _loss(self, reason: str) -> LostVMError:
        return LostVMError(f"lost the VM: {reason}; its console ends:\n{steps.tail(self.console)}")
