"""What `make gpu-check` tries beside the watchdog: what was seen, or why it was not tried."""

import importlib.util
import select
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from agentcg import native
from agentcg.errors import UnavailableError
from agentcg.gpu import libcuda
from agentcg.gpu.gates import Gate
from agentcg.gpu.shim import Shim
from agentcg.gpu.uprobe import UprobeGuard
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.nvml import Nvml
from agentcg.policy.lent import LEASE
from agentcg.units import format_bytes
from tests.gpu.takers import (
    ASKED,
    WAIT,
    Process,
    allocate,
    answer,
    ask,
    leaf_of,
    lease,
    taker,
    tell,
    until,
    use,
)

POOL, PART = 4 << 30, 1 << 30
GIB = 1 << 30
REST = 2.0  # seconds in which nothing else goes on


def uprobe(nvml: Nvml, root: CgroupDir, gpu: str) -> Iterator[str]:
    """The account against NVML's, of torch where it is installed; the gate, and through it."""
    guard = UprobeGuard(libcuda.installed(), timeout=WAIT)
    if reason := guard.probe():
        yield f"not tried: {reason}"
        return
    kind = ["torch"] if importlib.util.find_spec("torch") else []
    guard.start(told=False)  # nobody reads it here
    try:
        with leaf_of(root) as leaf, taker(gpu, "taker.py", *kind) as process:
            leaf.move(process.pid)
            tell(process, "ready")
            before = use(nvml, process.pid, gpu)
            guard.hold(lease(gpu, 2 * ASKED), leaf)
            allocate(process, ASKED)
            told = use(nvml, process.pid, gpu) - before
            sizes = [format_bytes(one) for one in (ASKED, _counted(guard, leaf), told)]
            name = kind[0] if kind else "the driver's API"
            yield "{} asked {}, counted {}, NVML tells {} more".format(name, *sizes)
            yield from gated(guard, leaf, gpu, process)
            guard.release(lease(gpu, 0), leaf)
    finally:
        guard.close()


def gated(guard: UprobeGuard, leaf: CgroupDir, gpu: str, process: Process) -> Iterator[str]:
    """One that asks for more than its lease of 2 * ASKED waits, and goes on with a larger one."""
    begun = time.monotonic()
    ask(process, 2 * ASKED)
    gate = _comes(guard)
    took = (time.monotonic() - begun) * 1000
    yield f"asked {format_bytes(gate.asked)} over its lease, and waits after {took:.0f} ms"
    begun = time.monotonic()
    guard.hold(lease(gpu, 8 * ASKED), leaf)
    tell(process, "done")
    yield f"went on with a larger lease in {(time.monotonic() - begun) * 1000:.0f} ms"


def shim(gpu: str, libraries: Path | None = None) -> Iterator[str]:
    """A program that loads it is refused what is over its lease."""
    where = libraries or native.shim()
    with tempfile.TemporaryDirectory() as folder:
        if reason := Shim(Path(folder) / "gpu", 0, where).probe():
            yield f"not tried: {reason}"
            return
        told = Path(folder) / f"c-check-{uuid.uuid4().hex[:12]}"
        told.write_text(f"{ASKED} 0\n")
        env = {"LD_LIBRARY_PATH": str(where), LEASE: str(told)}
        with taker(gpu, **env) as process:
            tell(process, "ready")
            allocate(process, ASKED // 2)
            ask(process, ASKED)
            tell(process, "error 2")
            yield "refused what is over the lease, as out of memory"
            ask(process, "ways")
            yield f"cuGetProcAddress leads to it for {answer(process)} functions"


def pool(nvml: Nvml, gpu: str) -> Iterator[str]:
    """How soon an engine's cache of mapped memory makes room, and what its requests feel of it."""
    with taker(gpu, "pool.py") as process:
        tell(process, "ready")
        yield f"mapped {_rate(process, 'map', POOL)}"
        yield f"requests by themselves: {_requests(process, REST)}"
        before, begun = _free(nvml, gpu), time.monotonic()
        given = _rate(process, "give", PART)
        until(lambda: _free(nvml, gpu) >= before + PART * 9 // 10)
        took = (time.monotonic() - begun) * 1000
        yield f"gave back {given}; NVML tells it free {took:.0f} ms after it was asked"
        yield f"requests meanwhile: {_requests(process)}"
        with taker(gpu) as tenant:
            tell(tenant, "ready")
            allocate(tenant, PART)
        yield f"requests beside who has it: {_requests(process)}"
        yield f"mapped again {_rate(process, 'map', PART)}"
        yield f"requests meanwhile: {_requests(process)}"


def _requests(process: Process, rest: float = 0.0) -> str:
    """Of those since it was asked last, and of so many seconds more."""
    time.sleep(rest)
    if process.poll() is not None:
        raise UnavailableError("the engine's requests failed: see its words above")
    ask(process, "requests")
    said = answer(process).split()
    if not said:
        raise UnavailableError("the engine tells nothing of its requests: see its words above")
    count, *parts = said
    return f"{count}, P50 {parts[0]} ms, P99 {parts[1]} ms" if parts else count


def _rate(process: Process, what: str, size: int) -> str:
    ask(process, f"{what} {size}")
    took = float(answer(process) or "nan")
    return f"{format_bytes(size)} at {size / GIB / took:.1f} GiB/s"


def _free(nvml: Nvml, gpu: str) -> int:
    return next(one.free for one in nvml.read() if one.uuid == gpu)


def _comes(guard: UprobeGuard) -> Gate:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        select.select([guard.fd], [], [], 1)
        for gate in guard.turn(time.monotonic()):
            return gate
    raise UnavailableError("nobody came to the gate in a minute")


def _counted(guard: UprobeGuard, leaf: CgroupDir) -> int:
    account = guard.account(leaf)
    return 0 if account is None else int(account.used)
