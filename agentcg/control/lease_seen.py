"""One reading of the devices, and which of it is whose."""

from collections.abc import Callable

from agentcg.control.lease_book import Seen
from agentcg.gpu.device import DeviceReader
from agentcg.model.gpu import EngineStats
from agentcg.model.ids import CallId


def look(
    device: DeviceReader, whose: Callable[[int], CallId | None], at: float, number: int
) -> Seen:
    """Read all devices, in a thread, and add up what each call uses: unknown if a part of it is."""
    readings = device.read()
    uses: dict[tuple[CallId, str], int | None] = {}
    for reading in readings:
        for process in reading.processes:
            call = whose(process.pid)
            if call is None:
                continue
            before = uses.get((call, reading.uuid), 0)
            known = before is not None and process.used is not None
            uses[call, reading.uuid] = (before or 0) + (process.used or 0) if known else None
    return Seen(readings, uses, at, number)


def place(stats: EngineStats | None, seen: Seen, last: str | None, said: str | None) -> str | None:
    """On which device the engine is: where its processes are, else where it is `said` to be.

    Where that is not said: where it was, else on the only one. None where that does not tell.
    """
    pids = set() if stats is None else set(stats.pids)
    for reading in seen.readings:
        if any(process.pid in pids for process in reading.processes):
            return reading.uuid
    if said is not None:
        return said if any(one.uuid == said for one in seen.readings) else None
    if last is None and len(seen.readings) == 1:
        return seen.readings[0].uuid
    return last
