"""`make gpu-check`: what this host's GPUs and guards do. Without a GPU it says so, and that is all.

A tenant of the driver's API allocates; NVML's word for it is compared with what it asked, and the
watchdog stops it, lets it go on with a larger lease, and kills it. Then what `trying.py` has.
"""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator

from agentcg.errors import AgentcgError
from agentcg.gpu.driver import DriverLimits
from agentcg.gpu.guard import GpuGuard
from agentcg.gpu.ladder import Ladder
from agentcg.gpu.overuse import Act
from agentcg.gpu.watchdog import Watchdog
from agentcg.kernel import mountinfo, procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.nvml import Nvml
from agentcg.model.gpu import GpuReading, GuardKind
from agentcg.units import format_bytes
from tests.gpu import trying
from tests.gpu.takers import ASKED, MIB, MORE, allocate, leaf_of, lease, taker, tell, until, use


def main() -> int:
    try:
        nvml = Nvml.open()
        readings = nvml.read()
    except AgentcgError as e:
        print(f"no GPU here, nothing was checked: {e.message}")
        return 0
    print(f"driver {nvml.driver()}")
    for trouble in nvml.troubles:
        print(f"  {trouble}")
    for reading in readings:
        show(reading)
    mounts = mountinfo.cgroup2_mounts()
    if not readings or not mounts:
        print("no readable GPU" if mounts else "no cgroup2 is mounted: guards were not tried")
        return 0
    with CgroupDir.open(mounts[0].path) as root:
        watchdog = Watchdog(nvml, root, grace=0.0)
        found: dict[GuardKind, GpuGuard | str] = {
            GuardKind.NVML: watchdog,
            GuardKind.DRIVER: DriverLimits(nvml, root),
        }
        ladder = Ladder(found, tuple(found))
        for kind in found:
            print(f"guard {kind}: {ladder.reasons[kind] or 'works'}")
        gpu = readings[0].uuid
        steps = {
            "uprobe": trying.uprobe(nvml, root, gpu),
            "shim": trying.shim(gpu),
            "pool": trying.pool(nvml, gpu),
        }
        if ladder.working(GuardKind.NVML):
            steps = {"nvml": held(nvml, root, watchdog, gpu)} | steps
        return 0 if all([said(name, lines) for name, lines in steps.items()]) else 1


def said(name: str, lines: Iterable[str]) -> bool:
    """Print what a step tells; False where it failed."""
    try:
        for line in lines:
            print(f"{name}: {line}")
    except (AgentcgError, OSError) as e:
        print(f"{name}: FAILED: {e}")
        return False
    return True


def show(reading: GpuReading) -> None:
    sizes = f"{format_bytes(reading.used)} of {format_bytes(reading.total)} used"
    print(f"{reading.uuid} {reading.name}: {sizes}")
    for process in reading.processes:
        with contextlib.suppress(AgentcgError, OSError):
            used = "unknown" if process.used is None else format_bytes(process.used)
            print(f"  {process.pid} {used} {procfs.cgroup_path(process.pid)!r}")


def held(nvml: Nvml, root: CgroupDir, watchdog: Watchdog, gpu: str) -> Iterator[str]:
    with leaf_of(root) as leaf, taker(gpu) as process:
        leaf.move(process.pid)
        tell(process, "ready")
        allocate(process, ASKED)
        used = use(nvml, process.pid, gpu)
        context = format_bytes(max(0, used - ASKED))
        yield f"asked {format_bytes(ASKED)}, NVML tells {format_bytes(used)}: context {context}"

        watchdog.hold(lease(gpu, used), leaf)
        allocate(process, MORE)
        took = until(lambda: acted(nvml, watchdog, Act.STOP))
        until(lambda: leaf.read_keyed("cgroup.events")["frozen"] == 1)
        yield f"stopped {took * 1000:.0f} ms after an allocation over its lease"

        watchdog.hold(lease(gpu, used + 2 * MORE), leaf)
        until(lambda: acted(nvml, watchdog, Act.RESUME))
        allocate(process, 16 * MIB)
        yield "went on with a larger lease"

        watchdog.hold(lease(gpu, 0), leaf)
        before = nvml.read()[0].free
        until(lambda: acted(nvml, watchdog, Act.KILL))
        took = until(lambda: nvml.read()[0].free > before)
        yield f"killed at the end of its lease; memory was free {took * 1000:.0f} ms later"


def acted(nvml: Nvml, watchdog: Watchdog, act: Act) -> bool:
    return any(one.act is act for one in watchdog.look(nvml.read(), time.time()))


if __name__ == "__main__":
    sys.exit(main())
