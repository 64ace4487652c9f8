"""What a cgroup is seen doing while somebody looks: one thing, and the count of a system call."""

from dataclasses import dataclass
from enum import StrEnum


class Question(StrEnum):
    """What is looked at."""

    EXEC = "exec"
    OPEN = "open"
    CONNECT = "connect"
    OOM = "oom"
    BLOCKIO = "blockio"
    SYSCALLS = "syscalls"


@dataclass(frozen=True, slots=True)
class Traced:
    """One thing done.

    `at` and `took` are seconds, `at` of the monotonic clock. `cgroup_id` is that of the call, if it
    is in one. `result` is a system call's answer, below 0 an errno; of a request to a disk 0, or
    minus the kernel's blk_status_t. `text` is what it was about: arguments, a path, an address, or
    an operation and its disk; who does it may have chosen it freely.
    """

    at: float
    cgroup_id: int
    pid: int
    program: str
    text: str
    result: int = 0
    took: float = 0.0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class SyscallStats:
    """How often a system call was made, and the seconds that its callers were in it together."""

    name: str
    calls: int
    errors: int
    took: float
