"""The object that the tests of the loader load, what makes it count, and where it is pinned."""

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcg.kernel import probe_bpf
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.bpffs import Pins

BUILT = Path(__file__).parents[2] / "build/bpf-tests"
SAMPLE = BUILT / "sample.bpf.o"
KEY = struct.pack("=I", os.getpid())
FIRST = bytes(4)


def number(raw: bytes | None) -> int:
    assert raw is not None
    return int.from_bytes(raw, sys.byteorder)


def opened() -> Object:
    """The sample, counting this process's forks; skipped where no such program may be loaded."""
    why = [m.detail for m in probe_bpf.mechanisms(Path("/sys")) if m.name == "bpf" and not m.works]
    if why:
        pytest.skip(why[0])
    sample = Object.open(SAMPLE)
    here = Path("/proc/self/ns/pid").stat()
    sample.set("namespace_device", struct.pack("=Q", here.st_dev))
    sample.set("namespace_inode", struct.pack("=Q", here.st_ino))
    sample.set("process", KEY)
    return sample


def fork() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


@contextmanager
def pins_in(folder: Path) -> Iterator[Pins]:
    """A bpf file system of our own, in the mount namespace that `tools/in-cgroup` made."""
    base = folder / "bpf"
    base.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", base], check=True)
    try:
        yield Pins(base / "agentcg")
    finally:
        subprocess.run(["umount", base], check=True)
