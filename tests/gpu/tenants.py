"""The fake libcuda's device and its tenants, for tests."""

import os
import struct
import subprocess
import sys
from pathlib import Path

from agentcg.kernel.cgroupfs import CgroupDir
from tests.root.daemon import ENTER

LIBRARY = Path(__file__).parents[2] / "build/gpu/libcuda.so.1"
_TENANT = Path(__file__).with_name("tenant.py")
_STATE = struct.Struct("=4Q")


class Device:
    """A device's memory, counted in a file."""

    def __init__(self, folder: Path, total: int) -> None:
        self._path = folder / "device"
        self._path.write_bytes(_STATE.pack(total, 0, 0, 0))

    @property
    def used(self) -> int:
        return int(_STATE.unpack(self._path.read_bytes())[1])

    @property
    def peak(self) -> int:
        return int(_STATE.unpack(self._path.read_bytes())[2])

    @property
    def env(self) -> dict[str, str]:
        return {"FAKE_CUDA": str(self._path)}

    def tenant(self, leaf: CgroupDir, form: str = "dlsym", library: Path = LIBRARY) -> "Tenant":
        """Start one in a cgroup."""
        env = {**os.environ, **self.env, "LD_LIBRARY_PATH": str(library.parent)}
        words = ["sh", "-c", ENTER, str(leaf.path), sys.executable, str(_TENANT), form]
        return Tenant(
            subprocess.Popen(
                [*words, str(library)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=env,
            )
        )


class Tenant:
    """A running tenant; a context manager."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def ask(self, line: str) -> None:
        """Say a line, and wait for nothing."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """The next line; empty when it is dead."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def does(self, line: str) -> str:
        """Say a line and wait for the answer."""
        self.ask(line)
        return self.answer()

    def __enter__(self) -> "Tenant":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)
