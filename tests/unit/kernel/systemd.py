"""A systemd on a private bus that knows only what tests told it, and moves no process."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.systemd1"
ROOT = "/org/freedesktop/systemd1"

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={path}</listen>
<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/>
<allow own="*"/><allow user="*"/></policy></busconfig>
"""


@contextlib.contextmanager
def bus(folder: Path) -> Iterator[str]:
    """A message bus of its own; its address."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("no dbus-daemon: install Debian's package dbus-daemon")
    config, path = folder / "bus.conf", folder / "bus"
    config.write_text(_CONFIG.format(path=path))
    words = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        try:
            yield f"unix:path={path}"
        finally:
            daemon.terminate()


@dataclass
class Systemd:
    """`units` maps a name to its properties, `of_pid` a pid to a unit's name.

    `result` is how jobs end; None means never. `silent` methods get no answer. `cgroups` is a
    folder in which MemoryMin is written as the kernel would show it.
    """

    address: str
    units: dict[str, dict[str, Any]] = field(default_factory=dict)
    of_pid: dict[int, str] = field(default_factory=dict)
    errors: dict[str, tuple[str, str]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    result: str | None = "done"
    cgroups: Path | None = None
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    _bus: MessageBus | None = None

    def unit(self, name: str, cgroup: str, *, delegated: bool = False) -> None:
        self.units[name] = {"Id": name, "ControlGroup": f"/{cgroup}", "Delegate": delegated}

    def did(self, member: str) -> list[list[Any]]:
        return [body for name, body in self.asked if name == member]

    async def serve(self) -> None:
        self._bus = await MessageBus(bus_address=self.address).connect()
        self._bus.add_message_handler(self._handle)
        await self._bus.request_name(NAME)

    async def stop(self) -> None:
        if self._bus is not None:
            self._bus.disconnect()
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def _handle(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL or message.destination != NAME:
            return None
        member = message.member or ""
        self.asked.append((member, message.body))
        if member in self.silent:
            return True
        if member in self.errors:
            name, text = self.errors[member]
            return Message.new_error(message, name, text)
        try:
            return self._answer(message, member)
        except KeyError:
            return Message.new_error(
                message, f"{NAME}.NoSuchUnit", f"Unit {message.body} not loaded."
            )

    def _answer(self, message: Message, member: str) -> Message:
        body = message.body
        match member:
            case "Get":
                unit = self.units[self._name(message.path or "")]
                value = unit[body[1]]
                kind = "b" if isinstance(value, bool) else "s"
                return Message.new_method_return(message, "v", [Variant(kind, value)])
            case "GetUnit":
                _ = self.units[body[0]]
                return Message.new_method_return(message, "o", [self._path(body[0])])
            case "GetUnitByPID":
                return Message.new_method_return(message, "o", [self._path(self.of_pid[body[0]])])
            case "SetUnitProperties":
                self._set(body[0], body[2])
                return Message.new_method_return(message)
            case "StartTransientUnit":
                return self._start(message, body[0], dict(body[2]))
            case _:
                return Message.new_method_return(message)

    def _set(self, name: str, properties: list[Any]) -> None:
        unit = self.units[name]
        for key, value in properties:
            unit[key] = value.value
            if key == "MemoryMin" and self.cgroups is not None:
                path = self.cgroups / unit["ControlGroup"].strip("/") / "memory.min"
                # After the answer, as the real one does.
                asyncio.get_running_loop().call_later(0.05, path.write_text, f"{value.value}\n")

    def _start(self, message: Message, name: str, properties: dict[str, Variant]) -> Message:
        cgroup = f"{properties['Slice'].value}/{name}"
        self.unit(name, cgroup, delegated=bool(properties["Delegate"].value))
        job = f"{ROOT}/job/7"
        if self.result is not None:
            assert self._bus is not None
            for number, result in ((6, "failed"), (7, self.result)):
                removed = Message.new_signal(
                    ROOT,
                    f"{NAME}.Manager",
                    "JobRemoved",
                    "uoss",
                    [number, f"{ROOT}/job/{number}", name, result],
                )
                asyncio.get_running_loop().call_later(0.01, self._bus.send, removed)
        return Message.new_method_return(message, "o", [job])

    def _path(self, name: str) -> str:
        return f"{ROOT}/unit/{name.encode().hex()}"

    def _name(self, path: str) -> str:
        return bytes.fromhex(path.rpartition("/")[2]).decode()


@contextlib.asynccontextmanager
async def serving(address: str) -> AsyncIterator[Systemd]:
    """The fake, until the end of the block."""
    made = Systemd(address)
    await made.serve()
    try:
        yield made
    finally:
        await made.stop()
