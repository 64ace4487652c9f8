"""Write memory.min of one level: through systemd where the cgroup is a unit's, else directly."""

import asyncio
import contextlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from agentcg.enforce import limits
from agentcg.errors import AgentcgError, CgroupGoneError, NotFoundError, UnavailableError
from agentcg.kernel import sdbus
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.grant import ENFORCED

if TYPE_CHECKING:
    from agentcg.control.core import Core

ARRIVES_WITHIN = 2.0
_LOOKS = 40
_PAGE = 65536  # the kernel rounds down to pages, of at most that size
_UNITS = (".slice", ".scope", ".service")


class Writer:
    """One pass over some levels; connects to systemd when the first unit comes, once.

    `units` remembers which paths are really units'. Used as an async context manager.
    """

    def __init__(self, core: "Core", units: dict[str, bool]) -> None:
        self._core = core
        self._units = units
        self._stack = contextlib.AsyncExitStack()
        self._systemd: sdbus.Systemd | None = None
        self._trouble: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def write(self, path: str, value: int) -> str | None:
        """Set the level; what went wrong, or None."""
        core = self._core
        try:
            with await core.blocking(core.root.open_path, path) as cgroup:
                if not await self._is_unit(path):
                    return await core.blocking(_directly, cgroup, value)
                systemd = await self._manager()
                await systemd.set_memory_min(PurePosixPath(path).name, value)
                return await self._arrived(cgroup, value)
        except CgroupGoneError:
            return f"{path!r} is gone"
        except AgentcgError as e:
            return e.message

    async def _is_unit(self, path: str) -> bool:
        """Whether systemd owns this very cgroup, and not just one that is called like a unit."""
        if not path.endswith(_UNITS) or not self._core.host.has("systemd"):
            return False
        if path not in self._units:
            systemd = await self._manager()
            try:
                owned = (await systemd.unit(PurePosixPath(path).name)).cgroup == path
            except NotFoundError:
                owned = False
            self._units[path] = owned
        return self._units[path]

    async def _manager(self) -> sdbus.Systemd:
        if self._trouble is not None:
            raise UnavailableError(self._trouble)
        if self._systemd is None:
            try:
                connection = sdbus.connected(self._core.bus_address)
                self._systemd = await self._stack.enter_async_context(connection)
            except AgentcgError as e:
                # Tried once a pass: every further level would wait as long.
                self._trouble = e.message
                raise
        return self._systemd

    async def _arrived(self, cgroup: CgroupDir, value: int) -> str | None:
        """Systemd answers before it writes: wait for the kernel to have it."""
        found: int | None = 0
        for _ in range(_LOOKS):
            found = await self._core.blocking(cgroup.read_int, "memory.min")
            if found is not None and value - _PAGE < found <= value:
                return None
            await asyncio.sleep(ARRIVES_WITHIN / _LOOKS)
        return f"{cgroup.path}: memory.min is {found} and not {value}, though systemd accepted it"


def _directly(cgroup: CgroupDir, value: int) -> str | None:
    done = limits.guarantee(cgroup, value)
    return None if done == ENFORCED else done.removeprefix("unsupported: ")
