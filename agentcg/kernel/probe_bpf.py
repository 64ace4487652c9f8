"""Probes of BPF: a small object for each mechanism, loaded for a moment; reasons are libbpf's own.

An object each, because libbpf loads all or nothing: a kernel function or kind of map that is
missing would take the other mechanisms with it. A scheduler is loaded and never attached.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from agentcg.errors import AgentcgError, BpfError
from agentcg.kernel import bpf_object, libbpf
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.probe_host import foreign_scheduler
from agentcg.model.host import Mechanism

# Mechanism: its object, and what is known when it loads.
OBJECTS = {
    "bpf": ("probe_load", "a program was loaded"),
    "bpf.ringbuf": ("probe_ringbuf", "a program may write records"),
    "bpf.tripwire": ("probe_tripwire", "page_counter_try_charge was traced"),
    "bpf.cgroup_storage": ("probe_cgroup_storage", "a program may use it"),
    "bpf.task_work": ("probe_task_work", "a program may ask for a callback"),
    "bpf.tracer": ("tracer", "`agentcg probe` can look at what calls do"),
    "sched_ext": ("probe_sched_ext", "a scheduler was loaded, and not attached"),
    "sched_ext.server": ("probe_ext_server", "its tasks keep a part of each CPU beside others"),
}
_ATTACHED = {"bpf.tripwire": "probe_tripwire"}


def mechanisms(sys: Path) -> Iterator[Mechanism]:
    """Try each in turn; none raises. Without type information or `bpf` the others are not tried."""
    needed = _btf(sys)
    yield needed
    for name in OBJECTS:
        reason = _scheduler_reason(sys) if name == "sched_ext" else None
        if reason is None and not needed.works:
            reason = f"not tried, as {needed.name} does not work: {needed.detail}"
        if reason is not None:
            yield Mechanism(name, works=False, detail=reason)
            continue
        found = _tried(name, sys)
        if name == "bpf":
            needed = found
        yield found


def _btf(sys: Path) -> Mechanism:
    path = sys / "kernel/btf/vmlinux"
    works = path.exists()
    detail = str(path) if works else f"no {path}: a kernel with CONFIG_DEBUG_INFO_BTF is needed"
    return Mechanism("btf", works=works, detail=detail)


def _scheduler_reason(sys: Path) -> str | None:
    if not (sys / "kernel/sched_ext").is_dir():
        return "a kernel with CONFIG_SCHED_CLASS_EXT (Linux 6.12) is needed"
    foreign = foreign_scheduler(sys)
    return None if foreign is None else f"the scheduler {foreign} runs; stop it first"


def _tried(name: str, sys: Path) -> Mechanism:
    file, known = OBJECTS[name]
    try:
        if name == "sched_ext":
            bpf_object.need_struct_ops()
        with Object.open(bpf_object.shipped(file)) as tried:
            tried.load()
            if name in _ATTACHED:
                tried.program(_ATTACHED[name]).attach().close()
    except (AgentcgError, OSError) as error:
        return Mechanism(name, works=False, detail=in_words(error, sys))
    return Mechanism(name, works=True, detail=f"{known} (libbpf {libbpf.version()})")


def in_words(error: AgentcgError | OSError, sys: Path = Path("/sys")) -> str:
    """Why something of BPF cannot be had, with what the kernel wants of whom it refuses it."""
    if not isinstance(error, AgentcgError):
        return str(error)
    refused = isinstance(error, BpfError) and error.errno == errno.EPERM
    return error.message + (_forbidden(sys) if refused else "")


def _forbidden(sys: Path) -> str:
    try:
        lockdown = (sys / "kernel/security/lockdown").read_text().strip()
    except OSError:
        lockdown = ""
    if lockdown and "[none]" not in lockdown:
        return f"; the kernel is locked down: {lockdown}"
    if os.geteuid() == 0:
        return "; this kernel forbids it even to root"
    return "; CAP_BPF and CAP_PERFMON, or root, are needed"
