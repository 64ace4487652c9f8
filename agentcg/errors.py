"""Every exception that agentcg raises on purpose.

Each has a stable `slug`, the problem type of the REST API (RFC 9457), and the HTTP `status` that
goes with it. A message names the value that was refused and what to do about it.
"""

import errno as errno_codes
import os
from pathlib import Path
from typing import ClassVar

_REMEDY = {
    errno_codes.EBUSY: "move or kill what is still inside, then retry",
    errno_codes.EINVAL: "the kernel refuses this value here; check its range and its ancestors",
    errno_codes.ERANGE: "the value is out of range; choose one that the kernel documents",
    errno_codes.ENOSPC: "a cgroup limit is reached; raise cgroup.max.descendants or remove cgroups",
    errno_codes.EAGAIN: "a limit is reached; raise pids.max or retry",
    errno_codes.EACCES: "run as root, or delegate this cgroup",
    errno_codes.EPERM: "run as root, or delegate this cgroup",
    errno_codes.EROFS: "mount cgroup2 writable",
    errno_codes.EEXIST: "choose another name, or open the existing cgroup",
    errno_codes.ENOTEMPTY: "remove its children first",
    errno_codes.EOPNOTSUPP: "this kernel or this kind of cgroup does not support it",
    errno_codes.ELOOP: "a symbolic link is in the way; name the cgroup itself",
    errno_codes.EXDEV: "the name leads outside its parent; name a cgroup below it",
}


class AgentcgError(Exception):
    """Anything that has no word of its own; `message` is fit for a person and for a model."""

    slug: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadValueError(AgentcgError):
    """A value from outside is malformed or out of range."""

    slug = "bad-value"
    status = 422


class NotFoundError(AgentcgError):
    """No session or call has this id, or it is not the caller's to know of."""

    slug = "not-found"
    status = 404


class ConflictError(AgentcgError):
    """The request contradicts the present state."""

    slug = "conflict"
    status = 409


class DeniedError(AgentcgError):
    """The peer may not do this."""

    slug = "denied"
    status = 403


class LimitError(AgentcgError):
    """Too many of something; retry later or ask for fewer."""

    slug = "too-many"
    status = 429


class UnsupportedError(AgentcgError):
    """The host lacks the mechanism; the message says which and why."""

    slug = "unsupported"
    status = 501


class ConfigError(AgentcgError):
    """A configuration file is wrong; the message has file and key."""

    slug = "config"
    status = 500


class UnavailableError(AgentcgError):
    """The daemon or a service it needs does not answer now."""

    slug = "unavailable"
    status = 503


class ProcessGoneError(AgentcgError):
    """The process exited, or its pid belongs to another process now."""

    slug = "process-gone"
    status = 409

    def __init__(self, pid: int, detail: str = "it exited or its pid was reused") -> None:
        super().__init__(f"process {pid} is gone: {detail}; start the process again")
        self.pid = pid


class BpfError(AgentcgError):
    """The kernel or libbpf refused a BPF object, map, link or pin.

    Carries `errno` and, where something was loaded, libbpf's words with the verifier's in `log`;
    `kept` is the file that has them too.
    """

    slug = "bpf"
    status = 500

    def __init__(
        self, what: str, errno: int | None, log: str = "", kept: Path | None = None
    ) -> None:
        strerror = "" if errno is None else os.strerror(errno)
        # libbpf's words often have it already.
        message = what if what.endswith(strerror) else f"{what}: {strerror}"
        super().__init__(message if kept is None else f"{message} (in full in {kept})")
        self.errno = errno
        self.log = log


class CgroupError(AgentcgError):
    """A cgroup operation failed.

    Carries `path`, the `value` written (None for reads), `errno` and `strerror` (None where no
    system call failed).
    """

    slug = "cgroup"
    status = 500
    _advice: ClassVar[str | None] = None

    def __init__(
        self,
        path: str | Path,
        value: str | None = None,
        strerror: str | None = None,
        errno: int | None = None,
    ) -> None:
        if strerror is None and errno is not None:
            strerror = os.strerror(errno)
        remedy = self._advice or (None if errno is None else _REMEDY.get(errno))
        what = str(path) if value is None else f"{path}: writing {value!r}"
        super().__init__(f"{what}: {strerror or 'failed'}" + (f"; {remedy}" if remedy else ""))
        self.path = str(path)
        self.value = value
        self.strerror = strerror
        self.errno = errno


class CgroupGoneError(CgroupError):
    """The cgroup was removed, even if another of the same name exists now."""

    slug = "cgroup-gone"
    status = 410
    _advice = "the cgroup was removed; create it again"


class KnobMissingError(CgroupError):
    """The cgroup lives but has no such file: controller not enabled, or kernel without it."""

    slug = "knob-missing"
    status = 501
    _advice = "enable its controller in the parent's cgroup.subtree_control, or use a newer kernel"
