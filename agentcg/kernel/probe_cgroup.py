"""Probes of the cgroup2 tree: mount and its options, controllers, and files tried in a cgroup."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from agentcg.errors import AgentcgError, CgroupError, KnobMissingError
from agentcg.kernel import mountinfo
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.psi import Trigger
from agentcg.model.host import Mechanism

CONTROLLERS = ("memory", "cpu", "pids", "cpuset", "io")
# What a host without the option should know.
_WITHOUT = {
    "favordynmods": ": a call that comes alone waits 10 to 20 ms for the kernel, see "
    "host.favordynmods in the configuration",
    "nsdelegate": ": a container that can write its cgroup tree could also raise its own limits; "
    "systemd mounts with it, `docker run --cgroupns=host` takes it away",
    "memory_recursiveprot": ": guarantees of calls hold all the same, as every level is written; "
    "systemd mounts with it, `docker run --cgroupns=host` takes it away",
}
_V1_NAME = {"io": "blkio"}
_TRIED = ("cgroup.kill", "cgroup.freeze", "memory.peak", "memory.high", "psi", "psi.window")


def mechanisms(root: Path, proc: Path) -> Iterator[Mechanism]:
    """Try the mount, its options, each controller, and what needs a cgroup of its own."""
    yield from _mount(root, proc)
    try:
        top = CgroupDir.open(root)
    except CgroupError as error:
        for name in (*CONTROLLERS, *_TRIED):
            yield Mechanism(name, works=False, detail=error.message)
        return
    with top:
        for name in CONTROLLERS:
            yield _controller(top, name, proc)
        yield from _tried(top)


def v1_hierarchy(name: str, proc: Path) -> bool:
    """Whether a cgroup v1 hierarchy holds the controller, so that v2 cannot have it."""
    legacy = _V1_NAME.get(name, name)
    with contextlib.suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            number, controllers, _ = line.split(":", 2)
            if number != "0" and legacy in controllers.split(","):
                return True
    return False


def _mount(root: Path, proc: Path) -> Iterator[Mechanism]:
    try:
        mount = mountinfo.cgroup2_mount_of(root, proc / "self/mountinfo")
    except (AgentcgError, OSError) as error:
        for name in ("cgroup2", *_WITHOUT):
            yield Mechanism(name, works=False, detail=str(error))
        return
    yield Mechanism("cgroup2", works=True, detail=f"mounted on {mount.path}")
    for name in _WITHOUT:
        has = name in mount.super_options
        detail = f"{mount.path} is mounted {'with' if has else 'without'} it"
        if not has:
            detail += _WITHOUT[name]
        yield Mechanism(name, works=has, detail=detail)


def _controller(top: CgroupDir, name: str, proc: Path) -> Mechanism:
    try:
        if name in top.controllers():
            return Mechanism(name, works=True, detail="available at the root")
    except CgroupError as error:
        return Mechanism(name, works=False, detail=error.message)
    if v1_hierarchy(name, proc):
        return Mechanism(name, works=False, detail="held by cgroup v1; boot with cgroup_no_v1=all")
    return Mechanism(name, works=False, detail=_why_absent(top, name, proc))


def _why_absent(top: CgroupDir, name: str, proc: Path) -> str:
    with contextlib.suppress(OSError):
        for line in (proc / "cgroups").read_text().splitlines():
            fields = line.split()
            if fields[0] == _V1_NAME.get(name, name) and fields[-1] == "0":
                return f"disabled on the kernel command line; remove cgroup_disable={name}"
    return f"not in {top.path}/cgroup.controllers: its parent or this kernel does not offer it"


def _tried(top: CgroupDir) -> Iterator[Mechanism]:
    name = f"agentcg-probe-{uuid.uuid4().hex[:12]}"
    try:
        cgroup = top.make(name)
    except CgroupError as error:
        for tried in _TRIED:
            yield Mechanism(tried, works=False, detail=error.message)
        return
    try:
        with cgroup:
            # Both act on an empty cgroup: nobody is killed or stopped.
            yield _written(cgroup, "cgroup.kill", "1")
            yield _written(cgroup, "cgroup.freeze", "0")
            yield _peak(cgroup)
            yield _written(cgroup, "memory.high", "max")
            yield _trigger(cgroup, "psi", 2_000_000)
            yield _trigger(cgroup, "psi.window", 500_000)
    finally:
        with contextlib.suppress(CgroupError):
            top.remove_child(name)


def _written(cgroup: CgroupDir, knob: str, value: str) -> Mechanism:
    try:
        cgroup.write(knob, value)
    except KnobMissingError:
        return Mechanism(knob, works=False, detail=f"this kernel has no {knob}")
    except CgroupError as error:
        return Mechanism(knob, works=False, detail=error.message)
    return Mechanism(knob, works=True, detail="tried")


def _peak(cgroup: CgroupDir) -> Mechanism:
    name = "memory.peak"
    try:
        fd = cgroup.fd_of(name, os.O_RDWR)
    except CgroupError as error:
        detail = "no memory.peak here: the memory controller is not enabled at the root, or too old"
        if error.errno != errno.ENOENT:
            detail = error.message
        return Mechanism(name, works=False, detail=detail)
    # Resettable since Linux 6.12 (c6f53ed8f213); the reset counts for this descriptor only.
    try:
        os.write(fd, b"reset")
    except OSError as error:
        return Mechanism(name, works=False, detail=f"cannot be reset: {error.strerror}")
    finally:
        os.close(fd)
    return Mechanism(name, works=True, detail="readable, and resettable per descriptor")


def _trigger(cgroup: CgroupDir, name: str, window_us: int) -> Mechanism:
    # memory.pressure exists without the memory controller; its triggers never fire unused.
    try:
        with Trigger.on(cgroup, "memory.pressure", stall_us=150_000, window_us=window_us):
            return Mechanism(name, works=True, detail=f"a {window_us / 1e6:g} s trigger was taken")
    except AgentcgError as error:
        return Mechanism(name, works=False, detail=error.message)
