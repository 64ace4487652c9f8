"""What this host can do: probed once, consulted by every grant and by `agentcg doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One thing that was tried; `detail` says why it does not work, or how it was found."""

    name: str
    works: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Host:
    """The host: `kernel` as uname prints it, `cpus` online, `memory_total` in bytes.

    `root` is the cgroup2 directory that everything is below.
    """

    kernel: str
    cpus: frozenset[int]
    memory_total: int
    mechanisms: Mapping[str, Mechanism]
    root: str

    def has(self, name: str) -> bool:
        """Whether the mechanism was probed and works."""
        found = self.mechanisms.get(name)
        return found is not None and found.works

    def why_not(self, name: str) -> str:
        """The reason in words; empty if the mechanism works."""
        found = self.mechanisms.get(name)
        if found is None:
            return f"{name} was not probed"
        return "" if found.works else found.detail
