"""Mounts of this mount namespace (proc_pid_mountinfo(5)) and the one change we make to one.

Mount options of cgroup2: Documentation/admin-guide/cgroup-v2.rst, "Mounting".
"""

import ctypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agentcg.errors import NotFoundError, UnsupportedError

MOUNTINFO = Path("/proc/self/mountinfo")
CGROUP_NS = Path("/proc/self/ns/cgroup")

# PROC_CGROUP_INIT_INO, include/linux/proc_ns.h (a uapi constant since 6.18).
_INITIAL_CGROUP_NS = 0xEFFFFFFB

_MS_REMOUNT = 32
_FLAGS = {
    "rw": 0,
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "sync": 16,
    "nosymfollow": 256,
    "noatime": 1024,
    "nodiratime": 2048,
    "relatime": 1 << 21,
}

RemountFunction = Callable[[Path, int, str], None]


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo; `options` are the mount's, `super_options` the file system's."""

    device: str
    root: str
    path: Path
    options: tuple[str, ...]
    kind: str
    source: str
    super_options: tuple[str, ...]


def parse(text: str) -> list[Mount]:
    """Parse /proc/PID/mountinfo."""
    mounts = []
    for line in text.splitlines():
        # " - " ends a variable number of optional fields.
        left, _, right = line.partition(" - ")
        _, _, device, root, path, options, *_ = left.split(" ")
        kind, source, super_options, *_ = right.split(" ")
        mounts.append(
            Mount(
                device=device,
                root=_plain(root),
                path=Path(_plain(path)),
                options=tuple(options.split(",")),
                kind=kind,
                source=_plain(source),
                super_options=tuple(super_options.split(",")),
            )
        )
    return mounts


def cgroup2_mounts(mountinfo: Path = MOUNTINFO) -> list[Mount]:
    """Return every cgroup2 mount, the one mounted last at the end."""
    text = mountinfo.read_text("utf-8", "surrogateescape")
    return [mount for mount in parse(text) if mount.kind == "cgroup2"]


def cgroup2_mount_of(path: Path, mountinfo: Path = MOUNTINFO) -> Mount:
    """Return the cgroup2 mount that `path` lies on; NotFoundError if it is on none."""
    resolved = path.resolve()
    fitting = [m for m in cgroup2_mounts(mountinfo) if resolved.is_relative_to(m.path)]
    if not fitting:
        raise NotFoundError(
            f"{path} is not on a cgroup2 mount: mount cgroup2 there, or name another"
        )
    # Of two mounts on one directory the later hides the earlier.
    return max(enumerate(fitting), key=lambda item: (len(item[1].path.parts), item[0]))[1]


def in_initial_cgroup_ns(namespace: Path = CGROUP_NS) -> bool:
    """Whether this process is in the host's own cgroup namespace."""
    return namespace.stat().st_ino == _INITIAL_CGROUP_NS


def set_favordynmods(
    path: Path,
    *,
    mountinfo: Path = MOUNTINFO,
    namespace: Path = CGROUP_NS,
    remount: RemountFunction | None = None,
) -> Mount:
    """Set favordynmods of the cgroup2 mount at `path`, keep every other option, and check that.

    Host-wide, until the next boot: moves get cheaper and forks dearer. Returns the mount as read
    back.
    UnsupportedError outside the initial cgroup namespace, for options that could be lost, or if the
    kernel did not take it.
    """
    if not in_initial_cgroup_ns(namespace):
        # The kernel ignores all options of a remount from elsewhere without an error.
        raise UnsupportedError(
            "favordynmods cannot be set from inside a cgroup namespace: run agentcgd on the host"
        )
    before = cgroup2_mount_of(path, mountinfo)
    if "favordynmods" in before.super_options:
        return before
    unknown = sorted(set(before.options) - _FLAGS.keys())
    if unknown:
        raise UnsupportedError(
            f"{before.path}: mount options {unknown} could not be kept: set favordynmods by hand"
        )
    flags = _MS_REMOUNT
    for option in before.options:
        flags |= _FLAGS[option]
    # A remount drops every file system option that it does not name: without this, nsdelegate and
    # memory_recursiveprot would end for the whole host.
    wanted = [*(o for o in before.super_options if o not in {"rw", "ro"}), "favordynmods"]
    (remount or _mount)(before.path, flags, ",".join(wanted))
    after = cgroup2_mount_of(path, mountinfo)
    if set(after.super_options) - {"rw", "ro"} != set(wanted) or after.options != before.options:
        raise UnsupportedError(
            f"{before.path}: asked for {wanted}, has {list(after.super_options)} now: "
            "compare with the options before and remount by hand"
        )
    return after


def _mount(path: Path, flags: int, data: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    target = os.fsencode(path)
    if libc.mount(b"none", target, b"cgroup2", ctypes.c_ulong(flags), data.encode()) != 0:
        code = ctypes.get_errno()
        raise UnsupportedError(
            f"{path}: remounting with {data!r}: {os.strerror(code)}; a kernel with favordynmods "
            "(Linux 6.0) and CAP_SYS_ADMIN are needed"
        )


def _plain(field: str) -> str:
    # Blank, tab, newline and backslash are written as octal.
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
