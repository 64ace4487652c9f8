"""Keep memory.min above the calls at the sum of what they are guaranteed.

The kernel honours a call's guarantee only up to what each ancestor has. Units get it through
systemd, which would otherwise overwrite it; other directories are written directly. One worker
does it for all: it raises at once, because a grant waits for that, and lowers after a while, so
that one call after the other costs one round trip. Without any guarantee nothing happens at all.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agentcg.control import memory_min
from agentcg.errors import CgroupError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import Kind
from agentcg.model.grant import ENFORCED, GUARANTEE, Grant
from agentcg.policy import guarantees as shares
from agentcg.sandbox import tree

if TYPE_CHECKING:
    from agentcg.control.core import Core
    from agentcg.control.state import LiveCall

LOWER_AFTER = 2.0
SETTLE_WITHIN = 5.0


@dataclass(slots=True)
class Ledger:
    """What stands in the kernel, by path below the root, and what could not be written, and why.

    `asked` counts changes, `done` is the last of them that a pass of the worker took in.
    """

    written: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    units: dict[str, bool] = field(default_factory=dict)
    asked: int = 0
    done: int = 0
    running: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    passed: asyncio.Condition = field(default_factory=asyncio.Condition)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    stopped: bool = False


def change(core: "Core", *grants: Grant) -> None:
    """These grants came, changed or went: bring the levels above up to date, soon."""
    if any(g.memory_guarantee for g in grants):
        _ask(core)


async def hold(core: "Core", live: "LiveCall", *, old: Grant | None = None) -> None:
    """Wait until a call's guarantee counts, or say in its grant why it does not.

    For what is learned nobody asked, and nobody waits: then it is said later.
    """
    grant = live.record.grant
    change(core, grant, *([old] if old is not None else []))
    if not grant.memory_guarantee or grant.enforced.get(GUARANTEE) != ENFORCED:
        return
    if GUARANTEE in grant.source:
        core.spawn(_counts(core, live))
    else:
        await _counts(core, live)


async def _counts(core: "Core", live: "LiveCall") -> None:
    problem = await _settled(core, live.session.record.cgroup)
    grant = live.record.grant
    if problem is None or live.closed.is_set() or not grant.memory_guarantee:
        return
    enforced = {**grant.enforced, GUARANTEE: f"unsupported: {problem}"}
    live.record = replace(live.record, grant=replace(grant, enforced=enforced))
    core.journal.put_call(live.record)


async def start(core: "Core") -> None:
    """Learn what an earlier daemon left written, and correct it."""
    ledger = core.guarantees
    cgroup = core.settings.cgroup
    paths = [cgroup.pool, cgroup.bare_parent]
    for session in core.state.sessions.values():
        paths += shares.levels(session.record.cgroup, cgroup.pool, tree.CALLS)
    for path in dict.fromkeys(paths):
        found = await core.blocking(_read, core.root, path)
        if found:
            ledger.written[path] = found
    if ledger.written or _wanted(core):
        _ask(core)


async def undo(core: "Core") -> None:
    """Take everything back: a host without the daemon is as it was. Called once, at the stop."""
    core.guarantees.stopped = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_WITHIN):
            await _write(core, {})


def _ask(core: "Core") -> None:
    ledger = core.guarantees
    ledger.asked += 1
    ledger.changed.set()
    if not ledger.running:
        ledger.running = True
        core.spawn(_work(core))


async def _settled(core: "Core", cgroup: str) -> str | None:
    """Wait for a pass that has seen the latest change; what keeps it from counting, or None."""
    pool, ledger = core.settings.cgroup.pool, core.guarantees
    if not shares.within(cgroup, pool):
        return f"{cgroup!r} is not below the pool {pool!r}, and what is above it is not ours"
    mine = ledger.asked
    try:
        async with asyncio.timeout(SETTLE_WITHIN), ledger.passed:
            await ledger.passed.wait_for(lambda: ledger.done >= mine)
    except TimeoutError:
        return f"systemd did not set MemoryMin within {SETTLE_WITHIN:g} s"
    return next(
        (
            ledger.problems[p]
            for p in shares.levels(cgroup, pool, tree.CALLS)
            if p in ledger.problems
        ),
        None,
    )


async def _work(core: "Core") -> None:
    """Raise now, lower later, until the kernel has what is wanted."""
    ledger = core.guarantees
    clock = asyncio.get_running_loop().time
    lower_at: float | None = None
    try:
        while True:
            ledger.changed.clear()
            seen, wanted = ledger.asked, _wanted(core)
            if lower_at is not None and clock() >= lower_at:
                keep, lower_at = {}, None
            else:
                keep = {p: max(v, wanted.get(p, 0)) for p, v in ledger.written.items()}
            await _write(core, {**wanted, **keep})
            async with ledger.passed:
                ledger.done = seen
                ledger.passed.notify_all()
            if any(v > wanted.get(p, 0) for p, v in keep.items()):
                lower_at = lower_at or clock() + LOWER_AFTER
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(lower_at):
                        await ledger.changed.wait()
            elif not ledger.changed.is_set():
                return
    finally:
        ledger.running = False


def _wanted(core: "Core") -> Mapping[str, int]:
    if core.guarantees.stopped:
        return {}
    amounts = [
        (s.record.cgroup, sum(c.record.grant.memory_guarantee for c in s.calls.values()))
        for s in core.state.sessions.values()
    ]
    return shares.sums(amounts, core.settings.cgroup.pool, tree.CALLS)


async def _write(core: "Core", wanted: Mapping[str, int]) -> None:
    """Make the levels what is wanted, from the pool down; those not named become 0."""
    ledger = core.guarantees
    async with ledger.writing:
        todo = {p: wanted.get(p, 0) for p in (*wanted, *ledger.written)}
        written, problems = ledger.written, ledger.problems
        todo = {p: v for p, v in todo.items() if written.get(p, 0) != v or p in problems}
        if todo:
            async with memory_min.Writer(core, ledger.units) as writer:
                for path in sorted(todo):
                    _note(core, path, todo[path], await writer.write(path, todo[path]))


def _note(core: "Core", path: str, value: int, problem: str | None) -> None:
    ledger = core.guarantees
    if problem is None:
        ledger.problems.pop(path, None)
        ledger.written[path] = value
    if not value:
        # What is gone, or cannot be taken back, must not be tried for ever.
        for book in (ledger.written, ledger.problems, ledger.units):
            book.pop(path, None)
    elif problem is not None:
        if path not in ledger.problems:
            core.tell(Kind.DAEMON, f"memory guarantee not held: {problem}")
        ledger.problems[path] = problem


def _read(root: CgroupDir, path: str) -> int:
    try:
        with root.open_path(path) as cgroup:
            return cgroup.read_int("memory.min") or 0
    except CgroupError:
        return 0
