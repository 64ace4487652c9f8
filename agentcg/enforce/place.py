"""Move a process into its call's leaf: a waiting client, or what runs already; hand a leaf over.

The number that names a process can pass to a stranger at any moment; only the pidfd cannot. So
the move goes by number, and the pidfd is asked afterwards whether the number was still its own. If
not, what is there goes to the session's agent: to where its parent is would be out of the session,
for one whose parent has died, or who was started as its parent's sibling (CLONE_PARENT).
"""

import contextlib
import os
import time
from collections.abc import Mapping

from agentcg.errors import AgentcgError, ConflictError, ProcessGoneError, UnavailableError
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel import procfs, sched
from agentcg.kernel.cgroupfs import CgroupDir

OOM_SCORE_ADJ = 500
_PASSES = 10
_ROUNDS = 20
# Less than this part of all numbers is gone through while one is moved, or so many: where there
# are few it is sooner done.
_NEAR, _NEAR_LEAST = 8, 16384
# What is gathered at once: so many, each at the price of a cgroup.procs write, and so long.
_AT_ONCE, _SECONDS = 64, 0.2


def place(leaf: CgroupDir, agent: CgroupDir, *, pid: int, pidfd: int, joins: bool = False) -> float:
    """Move the peer into `leaf`; returns the seconds that the one cgroup.procs write took.

    It may have died there by now, as any process of a call may. `joins`: others are there already.

    Raises:
        ConflictError: it has other threads or children, so moving it would tear it apart.
        UnavailableError: if it died now its number could be another's before the move is done.
        ProcessGoneError: it died before; who has its number since is with the agent.
    """
    threads = procfs.thread_count(pid)
    if threads != 1 or procfs.has_children(pid):
        raise ConflictError(
            f"process {pid} has {threads} threads or has children: only a fresh process of one "
            f"thread can be placed, use `acg run -- COMMAND`"
        )
    return _move(leaf, agent, pid, pidfd, joins=joins)


def take(leaf: CgroupDir, agent: CgroupDir, *, pid: int, pidfd: int) -> float:
    """Move a process that runs already out of the agent's cgroup; what it charged stays there.

    Returns the seconds that the move took. What it has started is for `gather`.

    Raises:
        ConflictError: it is not in the agent's cgroup any more.
        UnavailableError: if it died now its number could be another's before the move is done.
        ProcessGoneError: it died before.
    """
    if pid not in agent.pids():
        raise ConflictError(f"process {pid} is not in {agent.path} any more")
    # It may have started others by now: not all who are in the leaf then are strangers.
    return _move(leaf, agent, pid, pidfd, joins=True)


def gather(leaf: CgroupDir, agent: CgroupDir, known: Mapping[int, int]) -> bool:
    """Move to `leaf` what is of it in the agent's cgroup; whether there was too much for once.

    That is those `known`, by pid and start (0: any), and the children of what is in the leaf. Where
    nobody could be moved in time doing it again would be no better.
    """
    until = time.monotonic() + _SECONDS
    tried: set[tuple[int, int]] = set()
    moved = False
    for _ in range(_ROUNDS):
        strays = [one for one in _strays(leaf, agent, known, until) if one not in tried]
        for pid, start in strays:
            if tried and (len(tried) == _AT_ONCE or time.monotonic() > until):
                return moved
            tried.add((pid, start))
            moved = _take(leaf, agent, pid, start) or moved
        late = time.monotonic() > until
        if late or not strays:
            return moved and late
    return moved


def vacate(leaf: CgroupDir, agent: CgroupDir) -> bool:
    """Move everything in `leaf` to the agent's cgroup, whoever it is; whether that was all.

    It is frozen meanwhile, so that nothing forks faster than it is moved.
    """
    with contextlib.suppress(AgentcgError):
        leaf.freeze()
    try:
        for _ in range(_ROUNDS):
            inside = leaf.pids()
            if not inside:
                return True
            for pid in inside:
                with contextlib.suppress(AgentcgError):
                    agent.move(pid)
        return False
    finally:
        with contextlib.suppress(AgentcgError):
            leaf.freeze(frozen=False)


def hand_over(leaf: CgroupDir) -> None:
    """Give all threads in `leaf` and below it to the BPF scheduler, which is in partial mode.

    What they start meanwhile is looked for again.
    """
    for _ in range(_PASSES):
        tids = [int(tid) for tid in leaf.read("cgroup.threads").split()]
        if not any([sched.extend(tid) for tid in tids]):
            break
    for name in leaf.children():
        with leaf.child(name) as below:
            hand_over(below)


def _move(leaf: CgroupDir, agent: CgroupDir, pid: int, pidfd: int, *, joins: bool) -> float:
    if not pidfds.alive(pidfd):
        raise ProcessGoneError(pid)
    _settled(pid)
    begun = time.perf_counter()
    leaf.move(pid)
    took = time.perf_counter() - begun
    if pidfds.alive(pidfd):
        _expose(pid)
    elif strangers := _strangers(leaf, pid, joins=joins):
        _send_home(leaf, agent, strangers)
        raise ProcessGoneError(pid)
    return took


def _settled(pid: int) -> None:
    """Refuse a number that is given again soon.

    Its process can choose the time of its death, by which the next one of anybody would be moved
    in its place. One that has just been started has nearly all numbers before it.
    """
    numbers = procfs.pid_max()
    if procfs.numbers_until(pid) < max(numbers // _NEAR, min(numbers // 2, _NEAR_LEAST)):
        raise UnavailableError(f"number {pid} is about to be given again: it cannot be moved now")


def _take(leaf: CgroupDir, agent: CgroupDir, pid: int, start: int) -> bool:
    try:
        pidfd = pidfds.open(pid, start)
    except AgentcgError:
        return False
    try:
        take(leaf, agent, pid=pid, pidfd=pidfd)
    except AgentcgError:
        return False
    finally:
        os.close(pidfd)
    return True


def _strays(
    leaf: CgroupDir, agent: CgroupDir, known: Mapping[int, int], until: float
) -> list[tuple[int, int]]:
    inside = {*leaf.pids()}
    found = []
    # Who was started last is at the end.
    for pid in sorted(reversed(agent.pids()), key=lambda pid: pid not in known):
        with contextlib.suppress(ProcessGoneError):
            start = procfs.start_time(pid)
            if known.get(pid, -1) in (0, start) or procfs.parent(pid) in inside:
                found.append((pid, start))
        if time.monotonic() > until:
            break
    return found


def _expose(pid: int) -> None:
    """Host-wide OOM should take a call rather than what it works for."""
    with contextlib.suppress(OSError, ProcessGoneError):
        procfs.set_oom_score_adj(pid, OOM_SCORE_ADJ)


def _strangers(leaf: CgroupDir, pid: int, *, joins: bool) -> list[int]:
    """Who was moved in the peer's place: a process that has its number now, or a thread with it."""
    inside = leaf.pids()
    if not joins:
        return inside  # the peer was to be the first, and a dead process is not listed
    try:
        taken = procfs.process_of(pid)
    except ProcessGoneError:
        return []
    return [taken] if taken in inside else []


def _send_home(leaf: CgroupDir, agent: CgroupDir, strangers: list[int]) -> None:
    """They leave, with what they have forked in there."""
    theirs = {*strangers}
    for _ in range(_ROUNDS):
        found = [one for one in leaf.pids() if one in theirs or _parent(one) in theirs]
        if not found:
            return
        theirs.update(found)
        for one in found:
            with contextlib.suppress(AgentcgError):
                agent.move(one)


def _parent(pid: int) -> int:
    try:
        return procfs.parent(pid)
    except ProcessGoneError:
        return 0
