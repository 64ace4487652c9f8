"""Intent to grant: what a call may have, given its session's budget and the host."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentcg import units
from agentcg.errors import BadValueError, LimitError
from agentcg.model.grant import GUARANTEE, Grant
from agentcg.model.intent import CpuClass, Intent
from agentcg.model.session import Budget, Session
from agentcg.policy.advice import Most
from agentcg.policy.environment import hints
from agentcg.policy.learned import WORTH, Learned
from agentcg.policy.priority import weight

CLASS_WEIGHT = {CpuClass.INTERACTIVE: 300, CpuClass.NORMAL: 100, CpuClass.BATCH: 30}
LINGER_WEIGHT = 1


@dataclass(frozen=True, slots=True)
class Room:
    """What a session has left: guaranteed bytes in use, open calls, CPUs, calls per CPU.

    `learned` of the guaranteed bytes nobody asked for.
    """

    calls_limit: int | None
    guaranteed: int
    open_calls: int
    cpus: frozenset[int]
    cpu_load: Mapping[int, int]
    learned: int = 0


@dataclass(frozen=True, slots=True)
class Defaults:
    """For a call that does not say; from the configuration. Bytes, counts, seconds."""

    memory_limit: int | None
    pids: int
    deadline: float | None


def admit(
    intent: Intent,
    session: Session,
    room: Room,
    defaults: Defaults,
    learned: Learned | None = None,
) -> Grant:
    """Decide what a call gets.

    A wish above the budget is cut and the grant's notes say so; nothing is refused for asking
    too much, because a call that runs and is told of its limit is worth more than none. `learned`
    stands in where the intent asks for no guarantee.

    Raises:
        LimitError: the session has as many open calls as it may have.
        BadValueError: guarantee above limit.
    """
    if room.open_calls >= session.budget.calls:
        raise LimitError(
            f"session {session.id} has {room.open_calls} open calls, its budget is "
            f"{session.budget.calls}: end or close some first"
        )
    notes: list[str] = []
    limit = _limit(intent, session, room, defaults, notes)
    guarantee = _guarantee(intent, session, room, limit, notes)
    source = {}
    if learned is not None and (kept := _kept(learned, session, room, limit)) >= WORTH:
        cut = "its limit" if kept == limit else "what is left for such guarantees"
        words = str(learned) if kept == learned.peak else f"{learned}, cut to {cut}"
        guarantee, source = kept, {GUARANTEE: words}
    cpus = _cpus(intent.cpu.cores, room, notes)
    priority = intent.priority if intent.priority is not None else session.priority
    if priority > session.priority:
        notes.append(f"priority {priority} cut to the session's {session.priority}")
        priority = session.priority
    return Grant(
        memory_guarantee=guarantee,
        memory_limit=limit,
        pids=_pids(intent, session, defaults, notes),
        cpu_class=intent.cpu.cpu_class,
        cpu_weight=intent.cpu.weight or weight(CLASS_WEIGHT[intent.cpu.cpu_class], priority),
        cpus=cpus,
        io_weight=intent.io_weight,
        deadline=intent.deadline or defaults.deadline,
        priority=priority,
        on_end=intent.on_end,
        env=hints(len(cpus) if cpus is not None else None),
        notes=tuple(notes),
        source=source,
    )


def most_of(budget: Budget, calls_limit: int | None) -> Most:
    """The highest limits that a call may be granted in a session with this cap on its calls."""
    bounds = [b for b in (calls_limit, budget.memory) if b is not None]
    return Most(min(bounds, default=None), budget.pids)


def _limit(
    intent: Intent, session: Session, room: Room, defaults: Defaults, notes: list[str]
) -> int | None:
    asked = intent.memory.limit
    most = most_of(session.budget, room.calls_limit).memory
    wish = defaults.memory_limit if asked is None else asked
    if most is None or (wish is not None and wish <= most):
        return wish
    # A default that is cut is nothing the caller asked for, so there is nothing to tell.
    if asked is not None:
        notes.append(
            f"memory limit {units.format_bytes(asked)} cut to {units.format_bytes(most)}, "
            f"all that this session's calls may use"
        )
    return most


def _pids(intent: Intent, session: Session, defaults: Defaults, notes: list[str]) -> int:
    wish = defaults.pids if intent.pids is None else intent.pids
    most = session.budget.pids
    if most is None or wish <= most:
        return wish
    if intent.pids is not None:
        notes.append(f"pids {wish} cut to the session's budget {most}")
    return most


def _guarantee(
    intent: Intent, session: Session, room: Room, limit: int | None, notes: list[str]
) -> int:
    wish = intent.memory.guarantee or 0
    if intent.memory.limit is not None and wish > intent.memory.limit:
        raise BadValueError(
            f"memory.guarantee {units.format_bytes(wish)} is above memory.limit "
            f"{units.format_bytes(intent.memory.limit)}: ask for a limit that is at least as high"
        )
    budget = session.budget.guarantee
    left = 0 if budget is None else max(0, budget - room.guaranteed)
    granted = min(wish, left, wish if limit is None else limit)
    if granted < wish:
        why = (
            f"the session's budget for guarantees has {units.format_bytes(left)} left"
            if granted == left
            else "that is the call's memory limit"
        )
        notes.append(
            f"memory guarantee {units.format_bytes(wish)} cut to {units.format_bytes(granted)}: "
            f"{why}"
        )
    return granted


def _kept(learned: Learned, session: Session, room: Room, limit: int | None) -> int:
    """The guarantee that is learned: half of the budget is left to those who declare theirs."""
    budget = session.budget.guarantee or 0
    left = min(budget - room.guaranteed, budget // 2 - room.learned)
    return min(learned.peak, left, learned.peak if limit is None else limit)


def _cpus(cores: float | None, room: Room, notes: list[str]) -> frozenset[int] | None:
    """Choose the CPUs that the fewest calls are bound to."""
    if cores is None:
        return None
    if not room.cpus:
        notes.append(f"cores {cores:g} not bound: which CPUs the session may use is not known")
        return None
    count = math.ceil(cores)
    if count > len(room.cpus):
        notes.append(f"cores {cores:g} cut to {len(room.cpus)}, all that this session may use")
        count = len(room.cpus)
    ranked: Sequence[int] = sorted(room.cpus, key=lambda c: (room.cpu_load.get(c, 0), c))
    return frozenset(ranked[:count])
