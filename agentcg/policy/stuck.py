"""A pool in which nobody can go on: who gives way, and how.

Calls that are held up wait for others to give memory back. When the pool is full and every call in
it is held up, idle or frozen, nobody will. Then, step by step: the kernel takes back what it can of
the call that is to give way (policy.victim; never an agent); if there is still no room, that call
is killed.

Example. `high` has finished, `a` (priority 0, 300 MiB over) and `b` (priority -50, 200 MiB over)
fill the pool and are both held up. After 2 s b's page cache is taken back, after 10 s b is killed,
and a goes on. Had `high` still been computing, nothing would have been done: it may end and make
room.

What a call prefers (`on_pressure`) comes before that, when the pool has had no room for it for
longer than a batch may wait: it is killed, or frozen until there is room. It is a preference: a
call that prefers to be frozen is in line with the others for the last step.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agentcg.model.ids import CallId
from agentcg.policy.victim import Candidate, choose

RECLAIM_AFTER = 2.0
KILL_AFTER = 10.0
APART = 0.5  # between two looks
# Of a core: a call that used less since it was last looked at does nothing that would make room.
IDLE = 0.05
# And for each thread that is held up, which looks every 200 ms whether it still is: 2.5 ms a look,
# which is ample on an emulated machine too.
LOOKS = 0.0125
# But not more than this for all: with hundreds held, one may still work.
MOST = 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """How a call stands: what it holds, seconds of CPU so far, how many threads are held up."""

    call: Candidate
    cpu: float
    held: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """Since when nobody could go on, when that was last looked at, and what was done about it."""

    since: float | None = None
    seen: float = 0.0
    cpu: Mapping[CallId, float] = field(default_factory=dict)
    reclaimed: CallId | None = None


class Step(StrEnum):
    """What to do now."""

    WAIT = "wait"
    RECLAIM = "reclaim"
    KILL = "kill"


def judge(
    stuck: Stuck, calls: Collection[Standing], now: float, patience: float
) -> tuple[Stuck, Step, Candidate | None]:
    """Fold in how the calls stand when one is reported to have no room; who is to give way, how.

    Reports come at least every `patience` seconds as long as it is so.
    """
    if stuck.since is not None and now - stuck.seen < APART:
        # Just looked: a report follows a batch, which is more than nothing in so short a time.
        return stuck, Step.WAIT, None
    cpu = {one.call.call: one.cpu for one in calls}
    since = stuck.since if now - stuck.seen <= 2 * patience else None
    if since is None or any(_moves(stuck, one, now) for one in calls):
        # It begins now, and is one for sure when the next report finds nobody moving either.
        return Stuck(now, now, cpu), Step.WAIT, None
    lasted = now - since
    going = choose(one.call for one in calls)
    if going is None or lasted < RECLAIM_AFTER:
        return Stuck(since, now, cpu, stuck.reclaimed), Step.WAIT, going
    if lasted >= KILL_AFTER and stuck.reclaimed is not None:
        return Stuck(None, now, cpu), Step.KILL, going
    if stuck.reclaimed != going.call:
        return Stuck(since, now, cpu, going.call), Step.RECLAIM, going
    return Stuck(since, now, cpu, stuck.reclaimed), Step.WAIT, going


def _moves(stuck: Stuck, one: Standing, now: float) -> bool:
    """Whether a call does something by which it may come to its end."""
    used = one.cpu - stuck.cpu.get(one.call.call, 0.0)
    return used > min(IDLE + LOOKS * one.held, MOST) * (now - stuck.seen)
