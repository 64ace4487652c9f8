"""`make gpu-check`: what this host's GPUs and guards do. Without a GPU it says so, and that is all.

A tenant of the driver's API allocates; NVML's word for it is compared with what it asked, and the
watchdog stops it, lets it go on with a larger lease, and kills it.
"""

import contextlib
import os
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from agentcg.errors import AgentcgError, UnavailableError
from agentcg.gpu.driver import DriverLimits
from agentcg.gpu.guard import GpuGuard
from agentcg.gpu.ladder import Ladder
from agentcg.gpu.overuse import Act
from agentcg.gpu.watchdog import Watchdog
from agentcg.kernel import mountinfo, procfs
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.nvml import Nvml
from agentcg.model.gpu import GpuReading, GpuWish, GuardKind, Lease, LeaseId, LeaseState
from agentcg.model.ids import CallId, SessionId
from agentcg.units import format_bytes

MIB = 1 << 20
ASKED, MORE = 512 * MIB, 256 * MIB
WAIT = 60.0


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
        if not ladder.working(GuardKind.NVML):
            return 0
        try:
            held(nvml, root, watchdog, readings[0].uuid)
        except (AgentcgError, OSError) as e:
            print(f"FAILED: {e}")
            return 1
    return 0


def show(reading: GpuReading) -> None:
    sizes = f"{format_bytes(reading.used)} of {format_bytes(reading.total)} used"
    print(f"{reading.uuid} {reading.name}: {sizes}")
    for process in reading.processes:
        with contextlib.suppress(AgentcgError, OSError):
            used = "unknown" if process.used is None else format_bytes(process.used)
            print(f"  {process.pid} {used} {procfs.cgroup_path(process.pid)!r}")


def held(nvml: Nvml, root: CgroupDir, watchdog: Watchdog, gpu: str) -> None:
    with leaf_of(root) as leaf, tenant(gpu) as process:
        leaf.move(process.pid)
        tell(process, "ready")
        allocate(process, ASKED)
        used = use(nvml, process.pid, gpu)
        context = format_bytes(max(0, used - ASKED))
        print(f"asked {format_bytes(ASKED)}, NVML tells {format_bytes(used)}: context {context}")

        watchdog.hold(lease(gpu, used), leaf)
        allocate(process, MORE)
        took = until(lambda: acted(nvml, watchdog, Act.STOP))
        until(lambda: leaf.read_keyed("cgroup.events")["frozen"] == 1)
        print(f"stopped {took * 1000:.0f} ms after an allocation over its lease")

        watchdog.hold(lease(gpu, used + 2 * MORE), leaf)
        until(lambda: acted(nvml, watchdog, Act.RESUME))
        allocate(process, 16 * MIB)
        print("went on with a larger lease")

        watchdog.hold(lease(gpu, 0), leaf)
        before = nvml.read()[0].free
        until(lambda: acted(nvml, watchdog, Act.KILL))
        took = until(lambda: nvml.read()[0].free > before)
        print(f"killed at the end of its lease; memory was free {took * 1000:.0f} ms later")


def acted(nvml: Nvml, watchdog: Watchdog, act: Act) -> bool:
    return any(one.act is act for one in watchdog.look(nvml.read(), time.time()))


def use(nvml: Nvml, pid: int, gpu: str) -> int:
    for reading in nvml.read():
        for process in reading.processes:
            if (process.pid, reading.uuid) == (pid, gpu) and process.used is not None:
                return process.used
    raise UnavailableError(f"NVML tells nothing of {pid}: is this the host's pid namespace?")


def lease(gpu: str, memory: int) -> Lease:
    ids = LeaseId("g-check"), SessionId("s-check"), CallId("c-check")
    return Lease(*ids, GpuWish(memory), LeaseState.GRANTED, 0.0, gpu=gpu, bytes=memory)


@contextlib.contextmanager
def leaf_of(root: CgroupDir) -> Iterator[CgroupDir]:
    name = f"agentcg-check-{uuid.uuid4().hex[:12]}"
    with root.make(name) as leaf:
        try:
            yield leaf
        finally:
            leaf.kill()
            until(lambda: not leaf.populated())
            root.remove_child(name)


@contextlib.contextmanager
def tenant(gpu: str) -> Iterator["subprocess.Popen[str]"]:
    words = [sys.executable, str(Path(__file__).with_name("taker.py"))]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": gpu}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=env, text=True, stdin=pipe, stdout=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def allocate(process: "subprocess.Popen[str]", size: int) -> None:
    assert process.stdin is not None
    print(size, file=process.stdin, flush=True)
    tell(process, "done")


def tell(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], WAIT)
    if not ready or process.stdout.readline() != f"{word}\n":
        raise UnavailableError(f"the tenant did not say {word!r}: see its words above")


def until(condition: Callable[[], bool]) -> float:
    """Seconds that it took."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > WAIT:
            raise UnavailableError("it did not happen in a minute")
        time.sleep(0.002)
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
