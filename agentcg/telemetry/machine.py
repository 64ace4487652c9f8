"""What this machine uses as a whole: /proc/pressure and psutil. The daemon is on the same one."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from agentcg.errors import BadValueError
from agentcg.kernel import parse

_PRESSURE = Path("/proc/pressure")


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes, CPUs in use since the reading before, and pressure.

    That is percent of the last 10 s in which some task waited; None: the kernel does not tell.
    """

    memory: int
    memory_total: int
    cpu: float
    cpus: int
    memory_some: float | None = None
    cpu_some: float | None = None
    io_some: float | None = None


def read() -> Machine:
    """Read it now."""
    memory, cpus = psutil.virtual_memory(), psutil.cpu_count() or 1
    return Machine(
        memory.total - memory.available,
        memory.total,
        psutil.cpu_percent() / 100 * cpus,
        cpus,
        *(_some(name) for name in ("memory", "cpu", "io")),
    )


def _some(name: str) -> float | None:
    try:
        return parse.pressure((_PRESSURE / name).read_text(encoding="ascii")).some.avg10
    except (OSError, BadValueError):
        return None
