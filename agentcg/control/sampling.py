"""Reads calls and sessions at their times (policy.cadence), for the store of traces.

It is a thread of its own: a tick of 100 ms wakes it alone, and nothing of it waits for the event
loop or holds that up. The files wait for nothing but a lock of the kernel's, yet memory.stat and
cpu.stat add up figures of all CPUs, which on a large host takes as long as an answer may.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agentcg.errors import AgentcgError
from agentcg.model.sample import Sample, Usage
from agentcg.policy import cadence
from agentcg.policy.cadence import Cadence
from agentcg.telemetry.gauge import Gauge
from agentcg.telemetry.store import Key, Store

log = logging.getLogger(__name__)

_AFTER_DEFECT = 1.0


@dataclass(slots=True)
class Subject:
    """A call or a session that is read: its session, and its call or ""."""

    key: Key
    gauge: Gauge
    cadence: Cadence = field(default_factory=Cadence)
    usage: Usage = field(default_factory=Usage)
    full: Usage = field(default_factory=Usage)
    full_at: float = 0.0


class Sampler:
    """Reads what it is given until that is taken away; `clock` tells seconds since boot.

    Only the event loop changes what is read, only the thread when: what stirs goes by a queue. With
    nothing to read nothing runs.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """It begins with `start`."""
        self._store, self._clock = store, clock
        self._subjects: dict[Key, Subject] = {}
        self._stirred: deque[tuple[Subject, float]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def __contains__(self, key: Key) -> bool:
        """Whether it is read."""
        return key in self._subjects

    def add(self, subject: Subject) -> None:
        """Read it from now on."""
        self._subjects[subject.key] = subject
        self._wake.set()

    def remove(self, key: Key) -> None:
        """Read it no more; a reading under way is left out."""
        if self._subjects.pop(key, None) is not None:
            self._store.over(*key)

    def gauge(self, key: Key) -> Gauge | None:
        """What it is read by, if it is read."""
        one = self._subjects.get(key)
        return None if one is None else one.gauge

    def stir(self, session: str, call: str | None) -> None:
        """Something happened to a call, or to all of a session: read it soon."""
        if call is None:
            stirred = [one for key, one in self._subjects.items() if key[0] == session]
        else:
            stirred = [one for one in (self._subjects.get((session, call)),) if one is not None]
        if stirred:
            clock = self._clock()
            self._stirred.extend((one, clock) for one in stirred)
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except Exception:
                log.exception("traces: a reading failed; the daemon goes on")
                time.sleep(_AFTER_DEFECT)

    def _turn(self) -> None:
        """Read what is due; at most every 100 ms."""
        self._wake.clear()
        while self._stirred:
            one, at = self._stirred.popleft()
            one.cadence = cadence.stirred(one.cadence, at)
        clock, subjects = self._clock(), list(self._subjects.values())
        due = [one for one in subjects if one.cadence.due <= clock]
        for one in due:
            self._read(one, clock)
        if due:
            time.sleep(cadence.until_tick(self._clock()))
        else:
            soonest = min((one.cadence.due for one in subjects), default=None)
            self._wake.wait(None if soonest is None else soonest - clock)

    def _read(self, one: Subject, clock: float) -> None:
        """Record a reading, and say when the next is due."""
        try:
            sample = one.gauge.read(full=one.cadence.is_full(clock))
        except (AgentcgError, ValueError):
            # Gone, and the event that says so is on its way; or a file that is not what it should
            # be, which must not blind us to the others.
            one.cadence = Cadence(cadence.QUIET, cadence.QUIET, clock + cadence.QUIET)
            return
        if self._subjects.get(one.key) is one:
            self._store.put(*one.key, sample)
            _fold(one, sample, clock)


def _fold(one: Subject, sample: Sample, clock: float) -> None:
    full, usage = sample.full, sample.usage
    ran = full and cadence.ran(one.full, usage, sample.clock - one.full_at)
    moved = cadence.moved(one.usage, usage)
    one.cadence = cadence.after(one.cadence, clock, moved=moved, ran=ran, full=full)
    one.usage = usage
    if full:
        one.full, one.full_at = usage, sample.clock
