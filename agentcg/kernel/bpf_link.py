"""BPF links: what is attached, by libbpf's handle on it."""

import os
from pathlib import Path
from typing import Self

from agentcg.errors import BpfError
from agentcg.kernel import libbpf


class Link:
    """Something attached; closed and not pinned, it is detached."""

    def __init__(self, pointer: int, name: str) -> None:
        """Take over libbpf's link."""
        self._pointer: int | None = pointer
        self.name = name

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a pinned link."""
        made = libbpf.lib().bpf_link__open(os.fsencode(path))
        return cls(libbpf.pointer(made, f"opening {path}"), path.name)

    @property
    def fd(self) -> int:
        """The descriptor, closed on exec; it stays the link's."""
        if self._pointer is None:
            raise BpfError(f"link {self.name} is closed", None)
        fd: int = libbpf.lib().bpf_link__fd(self._pointer)
        return fd

    def pin(self, path: Path) -> None:
        """Give it a name in a bpf file system, which keeps it attached."""
        libbpf.pin(self.fd, path)

    def close(self) -> None:
        """Let go of it, which detaches it unless it is pinned."""
        pointer, self._pointer = self._pointer, None
        libbpf.lib().bpf_link__destroy(pointer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
