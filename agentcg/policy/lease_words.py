"""Words about GPU memory for an agent: what happened in numbers, and what to do next."""

from agentcg import units
from agentcg.model.gpu import EngineLimit, GpuWish, Lease, OnDeny

MAKING = "the inference engine was asked to make room and has not yet"
HOLDING = "what is to hold it to its memory has not answered yet"
ENDING = "leases that are over have not yet given their memory back"
UNSURE = "what was taken just now is to be seen a second time before it is counted on"
FULL = "other leases and the inference engine hold the memory"
BEHIND = "others have waited for longer"
RATE = "the inference engine gave up its cache a short time ago, and may keep it for a while"
SILENT_DEVICE = "the GPU's driver does not answer"
RESTARTED = (
    "Denied: the daemon was restarted while this call waited for GPU memory. Ask for it again."
)
STOPPING = "the daemon stops"
CALL_OVER = "its call is over"
RELEASED = "it was given back"
EXPIRED = "its time is over"
UNWRITTEN = "the daemon cannot write its journal; is its disk full?"
UNPLACED = (
    "on which GPU the inference engine is, is not known, so it is not asked to make room: an "
    "administrator can name it in gpu.engine.gpu"
)
PREEMPTED = "one of higher priority needs the memory"


def no_gpu(wanted: str | None) -> str:
    """There is no device to ask for."""
    if wanted is None:
        return "this host has no GPU that its driver tells of"
    return f"there is no GPU {wanted[:80]!a} here; `agentcg gpu` lists those there are"


def never(least: int, most: int, total: int) -> str:
    """It asks for more than there can be."""
    return (
        f"at most {units.format_bytes_within(most)} of this GPU's {units.format_bytes(total)} can "
        f"be had now, and it needs {units.format_bytes(least)}"
    )


def silent_engine(why: str) -> str:
    """The engine does not answer: what it may still take is not known."""
    return f"the inference engine on this GPU does not answer ({why})"


def refused(why: str) -> str:
    """The engine would not make room."""
    return f"the inference engine did not make room ({why})"


def unheld(why: str) -> str:
    """No guard can hold it, and unguarded it could take the engine's memory."""
    return f"no guard could hold it to its memory ({why})"


def queued(reason: str, eta: float | None) -> str:
    """It waits."""
    room = "" if eta is None else f"; there may be room in {units.format_duration(eta)}"
    return f"Waits for GPU memory: {reason}{room}."


def denied(wish: GpuWish, reason: str, waited: float) -> str:
    """It gets none."""
    after = f" after {units.format_duration(waited)}" if waited >= 1 else ""
    words = f"Denied {units.format_bytes(wish.memory)} of GPU memory{after}: {reason}."
    if wish.on_deny is OnDeny.CPU:
        return f"{words} It runs without the GPU."
    if wish.least is None:
        return f"{words} Ask for less, say the least that it can work with, or wait for longer."
    return f"{words} Ask for less, or wait for longer."


def granted(lease: Lease) -> str:
    """It has what it asked for, or a part."""
    words = f"Granted {units.format_bytes(lease.bytes)} of GPU memory"
    if lease.bytes < lease.wish.memory:
        words += f" of the {units.format_bytes(lease.wish.memory)} that it asked for"
    return f"{words}."


def ending(lease: Lease, reason: str, grace: float) -> str:
    """It is over, or taken back."""
    held = "" if not lease.used else f" It uses {units.format_bytes(lease.used)}."
    return (
        f"Its lease of {units.format_bytes(lease.bytes)} of GPU memory ends: {reason}.{held} "
        f"Free it within {units.format_duration(grace)}, or what holds it is killed."
    )


def over(lease: Lease) -> str:
    """It uses more than it was granted; None known is none over."""
    return (
        f"It uses {units.format_bytes(lease.used or 0)} of GPU memory and was granted "
        f"{units.format_bytes(lease.bytes)}: what goes beyond is killed. Use less (a smaller "
        f"batch or model), or ask for {units.format_bytes(2 * (lease.used or lease.bytes))}."
    )


def killed(lease: Lease) -> str:
    """It was killed for that."""
    used = "" if lease.used is None else f" while it used {units.format_bytes(lease.used)}"
    return (
        f"Killed for GPU memory: it went beyond the {units.format_bytes(lease.bytes)} that it was "
        f"granted{used}. Use less (a smaller batch or model), or ask for "
        f"{units.format_bytes(2 * (lease.used or lease.bytes))}."
    )


def engine(limit: EngineLimit, why: str) -> str:
    """The inference engine's limit was changed, or it was to be."""
    if why:
        return f"The inference engine's KV cache could not be limited: {why}."
    own = f", of {units.format_bytes(limit.was)} of its own" if limit.limit < limit.was else ""
    return (
        f"The inference engine's KV cache is limited to {units.format_bytes(limit.limit)}{own} "
        f"(revision {limit.revision})."
    )
