"""The object that the tests of the loader load, and what makes it count."""

import os
import struct
import sys
import threading
from pathlib import Path

import pytest

from agentcg.kernel import probe_bpf
from agentcg.kernel.bpf_object import Object

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
