"""What a call's grant says of the GPU memory that it asked for: environment, guard, words."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from agentcg.model.gpu import GuardKind, Lease, LeaseState
from agentcg.model.grant import ENFORCED, GPU, Grant
from agentcg.policy import lease_words as words

VISIBLE = "CUDA_VISIBLE_DEVICES"
LEASE = "AGENTCG_GPU_LEASE"  # which daemon/shim reads
OFF = "gpu.enabled is off in the configuration of this host"

_HELD: Mapping[GuardKind, str] = {
    GuardKind.NONE: "unsupported: no guard works here, nothing holds it to its bytes",
    GuardKind.SHIM: f"{ENFORCED}: by a library before libcuda, in programs that load it",
    GuardKind.NVML: f"{ENFORCED}: by NVML, which tells of too much when it is there",
    GuardKind.DEVICE: f"{ENFORCED}: by the device gate, which lets nobody in without a lease; "
    "how much it takes is seen afterwards",
    GuardKind.UPROBE: f"{ENFORCED}: by probes of libcuda, before it allocates",
    GuardKind.DRIVER: f"{ENFORCED}: by the driver",
}
_HELD_STATES = frozenset({LeaseState.GRANTED, LeaseState.ACTIVE})
_WAITS = frozenset({LeaseState.QUEUED, LeaseState.SHRINKING})


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a grant that is about GPU memory."""

    enforced: str
    note: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def unleased(why: str) -> Part:
    """Of a host that leases none: the call finds there what it would find without agentcg."""
    return Part(f"unsupported: {why}", f"no GPU memory is leased: {why}")


def leased(lease: Lease, shim: PurePath | None = None) -> Part:
    """Of a lease as it stands; `shim`: where the sizes of calls are for programs that load it."""
    if lease.state in _HELD_STATES:
        cut = lease.bytes < lease.wish.memory
        held = _HELD[lease.guard]
        env = {VISIBLE: lease.gpu or ""}
        if shim is not None:
            env[LEASE] = str(shim / lease.call)
        return Part(held, words.granted(lease) if cut else "", env)
    if lease.state in _WAITS:
        return Part("unsupported: it waits for a lease", lease.reason, {VISIBLE: ""})
    return denied(lease.reason or f"Its lease of GPU memory is {lease.state.value}.")


def denied(why: str) -> Part:
    """Of a call that gets none; what runs in it sees no GPU."""
    return Part("unsupported: it has no lease", why, {VISIBLE: ""})


def within(grant: Grant, part: Part, old: Part | None) -> Grant:
    """The grant with this part, in place of what it said of GPU memory before."""
    notes = tuple(note for note in grant.notes if old is None or note != old.note)
    return replace(
        grant,
        env={**grant.env, **part.env},
        enforced={**grant.enforced, GPU: part.enforced},
        notes=(*notes, part.note) if part.note else notes,
    )
