"""systemd over D-Bus (org.freedesktop.systemd1(5)): scopes, and memory.min of its own units.

A connection lives for one piece of work: opening a session or settling guarantees is rare, and
nothing has to be rebuilt when the bus restarts. Every wait is bounded.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentcg.errors import (
    AgentcgError,
    ConflictError,
    DeniedError,
    NotFoundError,
    ProcessGoneError,
    UnavailableError,
)

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = f"{_NAME}.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
CALL_WITHIN = 10.0
JOB_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Unit:
    """A loaded unit: its name, its cgroup below the root (no leading slash), what it may do."""

    name: str
    cgroup: str
    delegated: bool


class Systemd:
    """A connection to the system's manager; made by `connected`."""

    def __init__(self, bus: "MessageBus") -> None:
        self._bus = bus

    async def unit_of(self, pid: int) -> Unit:
        """The unit that a process belongs to; NotFoundError if it is in none."""
        (path,) = await self._manager("GetUnitByPID", "u", [pid])
        return await self._unit(path)

    async def unit(self, name: str) -> Unit:
        """A loaded unit by name; NotFoundError if there is none."""
        (path,) = await self._manager("GetUnit", "s", [name])
        return await self._unit(path)

    async def start_scope(
        self, name: str, *, pids: Sequence[int], slice_name: str, limits: dict[str, int]
    ) -> Unit:
        """Make a delegated scope around processes, and wait until systemd has moved them.

        `limits` are properties such as MemoryMax. Raises ConflictError if the name is taken.
        """
        from dbus_fast import Variant

        properties: list[list[Any]] = [
            ["Description", Variant("s", "agentcg session")],
            ["PIDs", Variant("au", list(pids))],
            ["Slice", Variant("s", slice_name)],
            ["Delegate", Variant("b", True)],
            # Else a scope in which a process was killed stays loaded, and its name taken.
            ["CollectMode", Variant("s", "inactive-or-failed")],
            *([key, Variant("t", value)] for key, value in sorted(limits.items())),
        ]
        async with self._jobs() as jobs:
            (job,) = await self._manager(
                "StartTransientUnit", "ssa(sv)a(sa(sv))", [name, "fail", properties, []]
            )
            result = await _awaited(jobs, job)
        if result != "done":
            raise UnavailableError(f"systemd did not start {name}: {result}; see its journal")
        return await self.unit(name)

    async def set_memory_min(self, unit: str, value: int) -> None:
        """Set MemoryMin of a unit until the next boot."""
        from dbus_fast import Variant

        await self._manager(
            "SetUnitProperties", "sba(sv)", [unit, True, [["MemoryMin", Variant("t", value)]]]
        )

    async def _unit(self, path: str) -> Unit:
        name = await self._get(path, f"{_NAME}.Unit", "Id")
        kind = str(name).rpartition(".")[2].capitalize()
        if kind not in ("Service", "Scope", "Slice"):
            raise NotFoundError(f"unit {name}: a {kind.lower()} has no cgroup")
        interface = f"{_NAME}.{kind}"
        cgroup = str(await self._get(path, interface, "ControlGroup")).strip("/")
        delegated = kind != "Slice" and bool(await self._get(path, interface, "Delegate"))
        return Unit(str(name), cgroup, delegated)

    async def _get(self, path: str, interface: str, name: str) -> object:
        (found,) = await self._call(path, _PROPERTIES, "Get", "ss", [interface, name])
        return found.value

    async def _manager(self, member: str, signature: str, body: list[Any]) -> list[Any]:
        return await self._call(_PATH, _MANAGER, member, signature, body)

    async def _call(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> list[Any]:
        from dbus_fast import Message, MessageType

        message = Message(_NAME, path, interface, member, signature=signature, body=body)
        if not self._bus.connected:
            raise UnavailableError(f"systemd: the bus went away before {member}")
        try:
            async with asyncio.timeout(CALL_WITHIN):
                reply = await self._bus.call(message)
        except TimeoutError as e:
            raise UnavailableError(f"systemd: no answer to {member} in {CALL_WITHIN:g} s") from e
        except (OSError, EOFError) as e:
            raise UnavailableError(f"systemd: the bus went away during {member}: {e}") from e
        if reply is None:
            raise UnavailableError(f"systemd: no answer to {member}")
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else ""
            raise _translated(reply.error_name or "", text, body)
        return reply.body

    @contextlib.asynccontextmanager
    async def _jobs(self) -> AsyncIterator["asyncio.Queue[tuple[str, str]]"]:
        """Finished jobs as (path, result), from before the one that is waited for begins."""
        from dbus_fast import Message

        finished: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

        def notice(message: "Message") -> None:
            if message.member == "JobRemoved" and message.signature == "uoss":
                finished.put_nowait((message.body[1], message.body[3]))

        rule = f"type='signal',sender='{_NAME}',interface='{_MANAGER}',member='JobRemoved'"
        bus = "org.freedesktop.DBus"
        await self._bus.call(
            Message(bus, "/org/freedesktop/DBus", bus, "AddMatch", signature="s", body=[rule])
        )
        self._bus.add_message_handler(notice)
        try:
            # Without a subscriber systemd sends no signals.
            await self._manager("Subscribe", "", [])
            yield finished
        finally:
            self._bus.remove_message_handler(notice)


@contextlib.asynccontextmanager
async def connected(address: str | None = None) -> AsyncIterator[Systemd]:
    """Connect to the system bus, or to the bus at `address`.

    Raises:
        UnavailableError: there is no bus.
    """
    # A tenth of a second to import, for what only some sessions need.
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus
    from dbus_fast.errors import AuthError

    try:
        bus = MessageBus(bus_address=address, bus_type=BusType.SYSTEM)
    except OSError as e:
        raise UnavailableError(f"systemd: no system bus: {e.strerror or e}") from e
    try:
        async with asyncio.timeout(CALL_WITHIN):
            await bus.connect()
    except (OSError, EOFError, AuthError, TimeoutError) as e:
        bus.disconnect()
        raise UnavailableError(f"systemd: no system bus: {e}") from e
    try:
        yield Systemd(bus)
    finally:
        bus.disconnect()
        # A bus that broke is closed too.
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(1):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


async def _awaited(jobs: "asyncio.Queue[tuple[str, str]]", job: str) -> str:
    try:
        async with asyncio.timeout(JOB_WITHIN):
            while True:
                path, result = await jobs.get()
                if path == job:
                    return result
    except TimeoutError:
        return f"its job was not done in {JOB_WITHIN:g} s"


def _translated(name: str, text: str, body: list[Any]) -> AgentcgError:
    """One of systemd's errors as one of ours."""
    short = name.rpartition(".")[2]
    words = f"systemd: {text or short}"
    if short == "UnitExists":
        return ConflictError(f"{words}; choose another id")
    if short in ("NoSuchUnit", "NoUnitForPID", "UnknownObject"):
        return NotFoundError(words)
    if short in ("NoSuchProcess", "ESRCH"):
        return ProcessGoneError(next((b for b in body if isinstance(b, int)), 0), words)
    if short in ("AccessDenied", "InteractiveAuthorizationRequired"):
        return DeniedError(f"{words}; the daemon has to run as root")
    return UnavailableError(words)
