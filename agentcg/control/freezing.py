"""Every process of a call stands still, or goes on."""

import asyncio

from agentcg.control.core import Core
from agentcg.control.state import LiveCall
from agentcg.errors import CgroupError, ConflictError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import CallState
from agentcg.model.event import Kind

FREEZE_WITHIN = 5.0


async def freeze(core: Core, live: LiveCall, *, frozen: bool) -> None:
    """Stop or resume every process of a call, and wait until the kernel says so."""
    target, source = (
        (CallState.FROZEN, CallState.RUNNING) if frozen else (CallState.RUNNING, CallState.FROZEN)
    )
    async with live.lock:
        # What frees it then does not know that it is to stay frozen.
        if live.gpu_held or live.gpu_gates or await _waits(core, live):
            raise ConflictError(
                f"call {live.record.id} is stopped as it goes beyond its lease of GPU memory: "
                f"change its lease, or kill it"
            )
        # The knob is written even if the record says that it is done: after a crash in between
        # the kernel may know better.
        if live.state not in (source, target):
            raise ConflictError(
                f"call {live.record.id} is {live.state.value}, not {source.value}: "
                f"only a {source.value} call can become {target.value}"
            )
        leaf = leaf_of(live)
        await core.blocking(leaf.freeze, frozen=frozen)
        try:
            await _until_frozen(core, live, leaf, frozen=frozen)
        except CgroupError:
            await core.blocking(leaf.freeze, frozen=not frozen)
            raise
        if live.state is target:
            return
        live.record = live.record.to(target)
        core.journal.put_call(live.record)
        kind = Kind.CALL_FROZEN if frozen else Kind.CALL_THAWED
        core.tell(kind, target.value, session=live.record.session, call=live.record.id)


async def _waits(core: Core, live: LiveCall) -> bool:
    """Whether a process of it stands at libcuda's gate, of which nobody may have been told yet."""
    guard = None if core.gpus is None else core.gpus.watched
    if guard is None or live.leaf is None:
        return False
    return await core.blocking(guard.waits, live.leaf)


async def _until_frozen(core: Core, live: LiveCall, leaf: CgroupDir, *, frozen: bool) -> None:
    try:
        async with asyncio.timeout(FREEZE_WITHIN):
            while True:
                live.changed.clear()
                events = await core.blocking(leaf.read_keyed, "cgroup.events")
                if events.get("frozen") == int(frozen) or not events.get("populated"):
                    return
                await live.changed.wait()
    except TimeoutError:
        raise CgroupError(
            leaf.path / "cgroup.freeze", str(int(frozen)), f"not done within {FREEZE_WITHIN:g} s"
        ) from None


def leaf_of(live: LiveCall) -> CgroupDir:
    """The cgroup of an open call, once it is made."""
    if live.leaf is None:
        raise ConflictError(f"call {live.record.id} has no cgroup yet: try again")
    return live.leaf
