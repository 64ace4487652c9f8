"""What this host can do: each mechanism is tried once, and kernel versions are never compared.

The only traces are a cgroup below the given root and a child process, both gone on return.
"""

import os
from pathlib import Path

from agentcg.errors import AgentcgError
from agentcg.kernel import parse, probe_cgroup, probe_host, procfs
from agentcg.model.host import Host, Mechanism


def probe(root: Path, *, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Host:
    """Try everything with `root` as the cgroup2 directory to live in; blocks for up to 2 s."""
    # libbpf is needed for a moment by the daemon, and never by those who only import this.
    from agentcg.kernel import probe_bpf

    found = [
        *probe_cgroup.mechanisms(root, proc),
        *probe_host.mechanisms(root, proc, sys),
        *probe_bpf.mechanisms(sys),
    ]
    by_name = {mechanism.name: mechanism for mechanism in found}
    by_name["cpu.max"] = _cpu_max(by_name["cpu"], probe_host.foreign_scheduler(sys))
    return Host(
        kernel=os.uname().release,
        cpus=_cpus(sys),
        memory_total=procfs.memory_total(),
        mechanisms=by_name,
        root=str(root),
    )


def _cpu_max(cpu: Mechanism, foreign: str | None) -> Mechanism:
    # cpu.max acts in the fair class, which a sched_ext scheduler takes the place of.
    if foreign is None or not cpu.works:
        return Mechanism("cpu.max", works=cpu.works, detail=cpu.detail)
    detail = f"no effect: the sched_ext scheduler {foreign} runs"
    return Mechanism("cpu.max", works=False, detail=detail)


def _cpus(sys: Path) -> frozenset[int]:
    try:
        return parse.id_list((sys / "devices/system/cpu/online").read_text())
    except (OSError, AgentcgError):
        return frozenset(range(procfs.cpu_count()))
