"""The store of traces: a thread that writes batches, a bounded queue before it, queries beside it.

Whatever is wrong with the disk, nobody waits for it: what cannot be written is kept for a while,
then lost and told, the samples counted, and writing goes on by itself when it can.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcg.model.event import Event
from agentcg.model.sample import Sample
from agentcg.model.trace import Account
from agentcg.telemetry import codec
from agentcg.telemetry.dayfile import Chunk, Row
from agentcg.telemetry.writer import Rules, Writer

log = logging.getLogger(__name__)

QUEUE = 65_536
BATCH = 1.0
# A chunk is written when it is so old or so long: what a power loss costs at most. One with few
# samples waits longer, for most of it is what a row costs.
CHUNK_SECONDS = 10.0
CHUNK_SAMPLES = 256
FEW = 20
FEW_SECONDS = 60.0
TIDY = 60.0
# Within a chunk time of day and clock go alike, or a new one is begun.
STEP = 0.5

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Over:
    """No more samples of this subject come for now."""

    key: Key


_Item = tuple[Key, Sample] | Event | Account | _Over | threading.Event | Path


class Store:
    """Takes samples in any thread without waiting for the disk, and answers queries in any."""

    def __init__(self, writer: Writer) -> None:
        """Start a thread for `writer`; a file is opened when there is something to write."""
        self._writer = writer
        # Appending and popping are atomic; only what is urgent wakes the writer.
        self._items: deque[_Item] = deque()
        self._wake = threading.Event()
        self._idle = False
        self._lock = threading.Lock()
        self._pending: dict[Key, list[Sample]] = {}
        self._refused = self._told = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    @property
    def rules(self) -> Rules:
        """Where the files are."""
        return self._writer.rules

    @property
    def lost(self) -> int:
        """Samples that could not be recorded."""
        return self._refused + self._writer.lost

    def put(self, session: str, call: str, sample: Sample) -> None:
        """Record a sample of a call, or of the session itself (call "")."""
        self._offer(((session, call), sample))

    def over(self, session: str, call: str) -> None:
        """Write what there is of it soon: no more comes."""
        self._offer(_Over((session, call)))

    def note(self, row: Event | Account) -> None:
        """Record an event, or a closed call's account."""
        self._offer(row)

    def settle(self, timeout: float = 1.0) -> None:
        """Wait until what was put before is seen by queries; not for ever."""
        done = threading.Event()
        self._offer(done, urgent=True)
        done.wait(timeout)

    def unwritten(self, session: str, call: str) -> tuple[Sequence[Row], Sequence[Sample]]:
        """What is not yet in a file, oldest first: rows of any subject, and this one's samples.

        To be asked for before the files are read: what moves meanwhile is then seen twice, and not
        missed.
        """
        with self._lock:
            held = list(self._pending.get((session, call), ()))
            return self._writer.waiting(), held

    def everything(self) -> tuple[Sequence[Chunk], Mapping[Key, list[Sample]]]:
        """What of all subjects is not yet in a file: chunks, and samples. Before files are read."""
        with self._lock:
            held = {key: list(samples) for key, samples in self._pending.items()}
            return [row for row in self._writer.waiting() if isinstance(row, Chunk)], held

    def suspect(self, path: Path) -> None:
        """A query found this file damaged: put it aside."""
        self._offer(path)

    def close(self) -> None:
        """Write what there is, and stop."""
        self._stopping = True
        self._wake.set()
        self._thread.join(10)

    def _offer(self, item: _Item, *, urgent: bool = False) -> None:
        if len(self._items) >= QUEUE:
            # A disk that hangs must not make the daemon's memory grow.
            with self._lock:
                self._refused += 1
            return
        self._items.append(item)
        # Not for each: two threads that wake each other cost more than all else of a sample.
        if urgent or self._idle:
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._take()
                self._flush(everything=False)
                self._writer.tidy()
                self._admit_losses()
            except Exception:
                # Traces are worth less than the daemon.
                log.exception("traces: a batch failed; the daemon goes on")
        self._drain()
        self._flush(everything=True)
        self._writer.close()

    def _admit_losses(self) -> None:
        if self._refused > self._told:
            lost, self._told = self._refused - self._told, self._refused
            self._writer.tell(
                f"traces: {lost} samples were lost: the disk was slower than they came"
            )

    def _take(self) -> None:
        """Take what came within a batch's time; with nothing to do, wait for the first."""
        self._idle = True
        if self._pending or self._writer.waits or self._items:
            self._idle = False
        self._wake.wait(TIDY if self._idle else BATCH)
        self._wake.clear()
        self._idle = False
        self._drain()

    def _drain(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._sort_in(self._items.popleft())

    def _sort_in(self, item: _Item) -> None:
        match item:
            case Event() | Account():
                self._writer.add(item)
            case _Over():
                self._cut(item.key)
            case threading.Event():
                item.set()
            case Path():
                self._writer.examine(item)
            case (key, sample):
                self._append(key, sample)

    def _append(self, key: Key, sample: Sample) -> None:
        held = self._pending.get(key)
        if held and (
            len(held) >= CHUNK_SAMPLES
            or abs((sample.at - held[0].at) - (sample.clock - held[0].clock)) > STEP
        ):
            self._cut(key)
        with self._lock:
            self._pending.setdefault(key, []).append(sample)

    def _flush(self, *, everything: bool) -> None:
        clock = self._writer.clock()
        for key, held in list(self._pending.items()):
            age = CHUNK_SECONDS if len(held) >= FEW else FEW_SECONDS
            if everything or clock - held[0].clock >= age:
                self._cut(key)
        self._writer.write()

    def _cut(self, key: Key) -> None:
        held = self._pending.get(key)
        if not held:
            return
        held.sort(key=lambda sample: sample.clock)
        first, last = held[0], held[-1]
        span = last.clock - first.clock
        with self._lock:
            del self._pending[key]
            data = codec.encode(held)
            chunk = Chunk(*key, self.rules.boot, first.clock, first.at, span, len(held), data)
            self._writer.add(chunk)
