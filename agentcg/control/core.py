"""What every part of the daemon works with, and how it does blocking work and starts tasks."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from agentcg.control.guarantees import Ledger
from agentcg.control.journal import Journal
from agentcg.control.state import LiveCall, State, Steps
from agentcg.control.turns import Turns
from agentcg.errors import AgentcgError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.patience import Patience
from agentcg.kernel.watch import Watch
from agentcg.model.call import Call
from agentcg.model.event import Event, Kind
from agentcg.model.host import Host
from agentcg.policy.learned import Peaks
from agentcg.policy.stuck import Stuck
from agentcg.settings import Settings
from agentcg.telemetry.bus import Bus
from agentcg.telemetry.meter import Meter

if TYPE_CHECKING:
    from agentcg.control.gpu_host import Found
    from agentcg.control.leasing import Leases
    from agentcg.control.observing import Feed
    from agentcg.enforce.governor import Governor
    from agentcg.kernel.cn_proc import ExitEvents
    from agentcg.telemetry.store import Store

log = logging.getLogger("agentcg")

P = ParamSpec("P")
T = TypeVar("T")
_Work = Callable[[], Coroutine[object, object, None]]

# A cgroup.procs write waits for an RCU grace period, so the threads mostly sleep.
THREADS = 32
# Writes that reclaim may take seconds each; they must not hold up placements.
RECLAIMING = 8


class Recorder:
    """What is told to whoever records traces; by itself it records nothing."""

    store: "Store | None" = None

    def heard(self, event: Event) -> None:
        """An event was told."""

    def stir(self, live: LiveCall) -> None:
        """The kernel said that something happens to a call."""

    def last(self, live: LiveCall) -> None:
        """A call ends or closes: this is the time for a last reading. In a thread."""

    def closed(self, record: Call) -> None:
        """A call is closed, of this daemon or of the one before it."""

    def begin(self) -> None:
        """What there was at the start is taken up: record it."""

    def close(self) -> None:
        """Write what there is."""


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Core:
    """The daemon's parts. `now` is the time of day; `clock` seconds since boot, put by nobody.

    `recalling` says whose turn it is to read traces.

    `bus_address` is where systemd is asked; None is the system bus. `stir` is called where what
    the sessions share may have changed: a call came, changed or went, or tasks wait for memory.
    """

    settings: Settings
    host: Host
    root: CgroupDir
    journal: Journal
    bus: Bus
    state: State
    watch: Watch
    exits: "ExitEvents | None" = None
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = _boottime
    recorder: Recorder = field(default_factory=Recorder)
    recalling: Turns = field(default_factory=Turns)
    learned: Peaks = field(default_factory=Peaks)
    stir: Callable[[], None] = lambda: None
    meter: Meter = field(init=False)
    steps: Steps = field(default_factory=Steps)
    guarantees: Ledger = field(default_factory=Ledger)
    bus_address: str | None = None
    governor: "Governor | None" = None
    observer: "Feed | None" = None
    gpus: "Found | None" = None
    leases: "Leases | None" = None
    stuck: Stuck = field(default_factory=Stuck)
    patience: Patience = field(init=False)
    searching: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _again: dict[Hashable, _Work | None] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="kernel")
    )
    _reclaimers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(RECLAIMING, thread_name_prefix="reclaim")
    )

    def __post_init__(self) -> None:
        """Have what the settings ask for."""
        self.meter = Meter(self.settings.metrics.sessions)
        self.patience = Patience(self.settings.observer.wait)

    async def blocking(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a kernel call that may sleep in a thread.

        Who is cancelled learns of it when the thread is done, so that what is then undone is not
        still being made.
        """
        return await self._in(self._threads, lambda: work(*args, **kwargs))

    async def reclaiming(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a write that may reclaim memory for seconds: lowering a limit."""
        return await self._in(self._reclaimers, lambda: work(*args, **kwargs))

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        doing = asyncio.get_running_loop().run_in_executor(threads, work)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            raise

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Start a task that outlives the request; what goes wrong in it is logged, not lost."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def coalesce(self, key: Hashable, work: _Work) -> None:
        """Spawn `work`; all requests that come while it runs are one more run after it: the last.

        What the first was to do may be out of date by then.
        """
        if key in self._again:
            self._again[key] = work
        else:
            self._again[key] = None
            self.spawn(self._repeat(key, work))

    async def _repeat(self, key: Hashable, work: _Work) -> None:
        try:
            await self._guarded(work())
        finally:
            again = self._again.pop(key)
        if again is not None:
            self.coalesce(key, again)

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except AgentcgError as e:
            log.warning("%s", e.message)
        except Exception:
            log.exception("a background task failed; the daemon goes on")

    def tell(
        self,
        kind: Kind,
        text: str,
        *,
        session: str | None = None,
        call: str | None = None,
        data: dict[str, str | int | float | None] | None = None,
    ) -> Event:
        """Publish an event and write it to the log, which is the audit trail."""
        event = self.bus.publish(
            self.now(), kind, session=session, call=call, text=text, data=data or {}
        )
        self.recorder.heard(event)
        self.meter.hear(event)
        log.info("%s session=%s call=%s %s", kind.value, session, call, ascii(text))
        return event

    async def stop(self) -> None:
        """End what `spawn` started and let the threads go."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for threads in (self._threads, self._reclaimers):
            threads.shutdown(wait=False, cancel_futures=True)
