"""Programs that use a real GPU, in a cgroup, for `make gpu-check`."""

import contextlib
import os
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from agentcg.errors import UnavailableError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.nvml import Nvml
from agentcg.model.gpu import GpuWish, Lease, LeaseId, LeaseState
from agentcg.model.ids import CallId, SessionId

MIB = 1 << 20
ASKED, MORE = 512 * MIB, 256 * MIB
WAIT = 60.0

Process = subprocess.Popen[str]


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
def taker(gpu: str, *words: str, **env: str) -> Iterator[Process]:
    """`words` are what it uses, a file of this folder; then what that is told."""
    file, *rest = words or ("taker.py",)
    all_words = [sys.executable, str(Path(__file__).with_name(file)), *rest]
    all_env = os.environ | {"CUDA_VISIBLE_DEVICES": gpu} | env
    pipe = subprocess.PIPE
    with subprocess.Popen(all_words, env=all_env, text=True, stdin=pipe, stdout=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def allocate(process: Process, size: int) -> None:
    ask(process, size)
    tell(process, "done")


def ask(process: Process, line: object) -> None:
    assert process.stdin is not None
    print(line, file=process.stdin, flush=True)


def tell(process: Process, word: str) -> None:
    said = answer(process)
    if said != word:
        raise UnavailableError(f"the tenant did not say {word!r} but {said!r}: see its words above")


def answer(process: Process) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], WAIT)
    return process.stdout.readline().strip() if ready else ""


def until(condition: Callable[[], bool]) -> float:
    """Seconds that it took."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > WAIT:
            raise UnavailableError("it did not happen in a minute")
        time.sleep(0.002)
    return time.monotonic() - begun
