"""The memory governor and its scheduler: loaded or adopted, told of grants, asked, let go.

What is attached is pinned, so that a daemon that dies leaves it at work: the programs go on by the
last policies, for the dead-man time. bpf/governor.bpf.c says what they do.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agentcg.errors import BpfError
from agentcg.kernel.bpf_map import Map, RingBuffer
from agentcg.kernel.bpf_object import Object, shipped
from agentcg.kernel.bpf_records import (
    PAGE,
    SECOND,
    Control,
    Farewell,
    GrantRecord,
    Policy,
    Pool,
    Tally,
)
from agentcg.kernel.bpffs import Adopted, Pins, digest
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.terms import Terms

SET = "governor"
FULL, PARTIAL = "agentcg", "agentcg_partial"  # the schedulers, by the kernel's names for them
GRANT = "grant"
SLOTS = ("slots_odd", "slots_even")
_FIRST = bytes(4)
_LEAVE_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every call: seconds, bytes, counts.

    `slots` is how many threads of a session may be held, `threads` how many there may be in all.
    `partial`: only tasks of policy SCHED_EXT are the scheduler's.
    """

    dead_man: float
    max_delay: float
    burst: int
    refill: int
    slots: int
    threads: int
    partial: bool = False

    @property
    def scheduler(self) -> str:
        """Which of the two is wanted."""
        return PARTIAL if self.partial else FULL


class Governor:
    """The attached programs, by their maps."""

    def __init__(self, pins: Pins, held: Adopted, rules: Rules, gap: float | None) -> None:
        """Not for callers: see start."""
        self.gap = gap  # seconds without, while this one took the place of another version
        self._pins = pins
        self._held = held
        self._rules = rules
        self._pools: dict[int, bytes] = {}

    @classmethod
    def start(cls, pins: Pins, rules: Rules, *, now: float, log: Path) -> Self:
        """Adopt what an earlier daemon left at work, or load and attach it; blocks for a second.

        `now` is time.monotonic(). Raises BpfError with the verifier's, or the kernel's, reason.
        """
        version = digest(shipped(SET)) + digest(shipped("scheduler"))
        held = pins.adopt(SET, version) if _attached() == rules.scheduler else None
        gap = None
        if held is None:
            gap = _load(pins, version, rules, now, log)
            held = pins.adopt(SET, version)
        if held is None:
            raise BpfError(f"{pins.base / SET}: what was pinned there is gone", None)
        governor = cls(pins, held, rules, gap)
        governor.beat(now)
        return governor

    def beat(self, now: float) -> None:
        """Say that the daemon lives."""
        control = Control(int(now * SECOND), int(self._rules.dead_man * SECOND))
        self._maps["controls"].update(_FIRST, bytes(control))

    def pool(self, cgroup: CgroupDir, size: int, *, slack: float, band: float) -> None:
        """Set what the calls below a cgroup share: `size` bytes, and parts of it."""
        pages = size // PAGE
        record = bytes(Pool(pages, int(pages * slack), int(pages * band)))
        if self._pools.get(cgroup.id) != record:
            self._maps["pools"].update(_key(cgroup.id), record)
            self._pools[cgroup.id] = record

    def govern(self, cgroup: CgroupDir, session: CgroupDir, pool: CgroupDir, terms: Terms) -> None:
        """Put a cgroup and all below it under a policy, or change that.

        Raises:
            BpfError: there are too many, or the cgroup is gone; then it is under none.
        """
        rules = self._rules
        policy = Policy(
            pool=pool.id,
            session=session.id,
            free=terms.free // PAGE,
            kept=terms.kept // PAGE,
            burst=rules.burst // PAGE,
            refill=rules.refill // PAGE,
            max_delay=int(rules.max_delay * SECOND),
            priority=terms.priority,
            slots=rules.slots,
        )
        self._held.commands[GRANT].run(bytes(GrantRecord(cgroup.id, policy)))

    def tally(self, cgroup_id: int) -> Tally | None:
        """What a call did so far; None if it never grew."""
        found = self._maps["tallies"].lookup(_key(cgroup_id))
        return None if found is None else Tally.from_buffer_copy(found)

    def held(self, cgroup_id: int) -> float | None:
        """Seconds for which a call's threads were held up, in sum; None if it is not known."""
        try:
            tally = self.tally(cgroup_id)
        except BpfError:  # it was let go meanwhile
            return None
        return 0.0 if tally is None else tally.throttled / SECOND

    def listen(self, take: Callable[[bytes], None]) -> RingBuffer:
        """Hand each EventRecord to `take`; the caller closes it."""
        return RingBuffer(self._maps["events"], take)

    def alive(self) -> bool:
        """Whether the scheduler is still attached; the kernel ejects one that misbehaves."""
        return _attached() == self._rules.scheduler

    @property
    def partial(self) -> bool:
        """Whether it holds only what is of policy SCHED_EXT."""
        return self._rules.partial

    def farewell(self) -> str:
        """Why the scheduler left, in the kernel's words; empty while it is attached."""
        left = Farewell.from_buffer_copy(self._maps["farewells"].lookup(_FIRST) or b"")
        return ": ".join(
            word.decode(errors="replace") for word in (left.reason, left.message) if word
        )

    def stop(self) -> None:
        """Detach everything: who is held goes on, native limits and the kernel's scheduler rule."""
        self._held.close()
        self._pins.remove(SET)

    @property
    def _maps(self) -> Mapping[str, Map]:
        return self._held.maps


def _load(pins: Pins, version: str, rules: Rules, now: float, log: Path) -> float | None:
    """Load and attach all, in the place of another version if there is one; the gap in seconds."""
    control = Control(int(now * SECOND), int(rules.dead_man * SECOND))
    with contextlib.ExitStack() as open_ones:
        governor = open_ones.enter_context(Object.open(shipped(SET)))
        scheduler = open_ones.enter_context(Object.open(shipped("scheduler")))
        for name in SLOTS:
            governor.resize(name, rules.threads)
        governor.load(log)
        maps = {name: open_ones.enter_context(one) for name, one in governor.maps().items()}
        # The programs are silent without it, and the scheduler would leave at its first tick.
        maps["controls"].update(_FIRST, bytes(control))
        for name in maps.keys() & set(scheduler.map_names()):
            scheduler.reuse(name, maps[name])
        scheduler.load(log)
        theirs = {name: open_ones.enter_context(one) for name, one in scheduler.maps().items()}
        # Only now: what takes long is done, and the other one was at work meanwhile.
        begun = time.monotonic() if _attached() else None
        pins.remove(SET)
        _wait_until_gone()
        attached = scheduler.attach_struct_ops(rules.scheduler)
        links = {rules.scheduler: open_ones.enter_context(attached)}
        grant = open_ones.enter_context(governor.program(GRANT).command())
        for name, program in governor.programs().items():
            if name != GRANT:
                links[name] = open_ones.enter_context(program.attach())
        shared = {name: one for name, one in theirs.items() if name not in maps}
        all_maps = {**maps, **shared}
        pins.pin(SET, version, links=links, maps=all_maps, commands={GRANT: grant})
        return None if begun is None else time.monotonic() - begun


def _wait_until_gone() -> None:
    """A scheduler leaves some time after its last pin is gone, and another gets in only then."""
    end = time.monotonic() + _LEAVE_WITHIN
    while _attached() and time.monotonic() < end:
        time.sleep(0.01)


def _attached() -> str | None:
    """Which of ours is, if any."""
    try:
        name = Path("/sys/kernel/sched_ext/root/ops").read_text().strip()
    except OSError:
        return None
    return name if name in {FULL, PARTIAL} else None


def _key(cgroup_id: int) -> bytes:
    return cgroup_id.to_bytes(8, "little")
