"""Write a grant to its leaf, and caps to a session's halves; say what the host cannot hold.

memory.high stays "max" on leaves: a call that is held below its need thrashes for minutes, and
its throttle runs with locks held. Only the calls of a session together get one (policy.steps).
Lowering a limit reclaims synchronously, so none of this belongs on the event loop.
"""

import contextlib

from agentcg.errors import CgroupError, CgroupGoneError, KnobMissingError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.caps import Caps
from agentcg.model.grant import ENFORCED, Grant
from agentcg.model.host import Host


def apply(leaf: CgroupDir, grant: Grant, host: Host) -> dict[str, str]:
    """Write every limit of `grant`; returns one entry per knob, "ok" or "unsupported: why".

    Raises:
        CgroupGoneError: there is no leaf any more to write to.
    """
    wanted = {
        "memory.guarantee": ("memory.min", _amount(grant.memory_guarantee)),
        "memory.swap": ("memory.swap.max", "0"),
        "memory.limit": ("memory.max", _amount(grant.memory_limit)),
        "memory.oom_group": ("memory.oom.group", "1"),
        "pids": ("pids.max", _amount(grant.pids)),
        "cpu.weight": ("cpu.weight", str(grant.cpu_weight)),
    }
    if grant.cpus is not None:
        wanted["cpu.cores"] = ("cpuset.cpus", ",".join(str(c) for c in sorted(grant.cpus)))
    enforced = {name: _write(leaf, knob, value, host) for name, (knob, value) in wanted.items()}
    if grant.io_weight is not None:
        enforced["io.weight"] = _io_weight(leaf, grant.io_weight, host)
    if enforced["memory.swap"] == ENFORCED or not host.has("swap"):
        del enforced["memory.swap"]
    elif enforced["memory.limit"] == ENFORCED:
        # Without memory.swap.max the limit only moves the call to the swap device.
        why = enforced["memory.swap"].removeprefix("unsupported: ")
        enforced["memory.limit"] = f"unsupported: swap is open, {why}"
    return enforced


def apply_caps(*, agent: CgroupDir, calls: CgroupDir, caps: Caps) -> None:
    """Write the caps of both halves; a host without the controller has none to write."""
    for cgroup, knob, value in (
        (calls, "memory.swap.max", 0 if caps.calls_memory is not None else None),
        (calls, "memory.max", caps.calls_memory),
        (calls, "pids.max", caps.calls_pids),
        (agent, "memory.max", caps.agent_memory),
        (agent, "pids.max", caps.agent_pids),
    ):
        if value is not None:
            with contextlib.suppress(KnobMissingError):
                cgroup.write(knob, value)


def high(calls: CgroupDir, value: int | None) -> None:
    """Set the memory.high of a session's calls; None is "max"."""
    calls.write("memory.high", _amount(value))


def weight(cgroup: CgroupDir, value: int) -> None:
    """Set cpu.weight where there is one; lowering a lingering call's weight is best effort."""
    with contextlib.suppress(CgroupError):
        cgroup.write("cpu.weight", value)


def guarantee(cgroup: CgroupDir, value: int) -> str:
    """Set memory.min; "ok" or "unsupported: why"."""
    try:
        cgroup.write("memory.min", value)
    except CgroupError as e:
        return f"unsupported: {e.message}"
    return ENFORCED


def _write(leaf: CgroupDir, knob: str, value: str, host: Host) -> str:
    try:
        leaf.write(knob, value)
    except KnobMissingError:
        controller = knob.partition(".")[0]
        return f"unsupported: {host.why_not(controller) or f'this cgroup has no {knob}'}"
    except CgroupGoneError:
        raise
    except CgroupError as e:
        return f"unsupported: {e.message}"
    return ENFORCED


def _io_weight(leaf: CgroupDir, value: int, host: Host) -> str:
    # The file exists wherever the io controller does, and without iocost or BFQ it does nothing.
    if not host.has("io.weight"):
        return f"unsupported: {host.why_not('io.weight')}"
    return _write(leaf, "io.weight", f"default {value}", host)


def _amount(value: int | None) -> str:
    return "max" if value is None else str(value)
