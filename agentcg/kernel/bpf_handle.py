"""What of BPF is held by a descriptor of our own: a map, a program that we run."""

import os
from pathlib import Path
from typing import Self

from agentcg.errors import BpfError
from agentcg.kernel import libbpf


class Handle:
    """It owns the descriptor, which is closed on exec and keeps the map or program alive."""

    def __init__(self, fd: int, name: str) -> None:
        """Take over the descriptor."""
        self._fd = fd
        self.name = name

    @property
    def fd(self) -> int:
        """The descriptor; it stays this one's."""
        if self._fd < 0:
            raise BpfError(f"{self.name} is closed", None)
        return self._fd

    def pin(self, path: Path) -> None:
        """Give it a name in a bpf file system, which keeps it alive."""
        libbpf.pin(self.fd, path)

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
