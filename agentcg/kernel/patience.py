"""Reads that a process may keep waiting for ever, done by helpers that are waited for so long only.

/proc/PID/cmdline and environ come out of the process's own memory: it can hold the lock on that, or
have put its arguments on a page that user space fills. Who reads then cannot be called back, only
left behind. So each reads for somebody: of one at most one helper is left behind at a time, and a
second has so much waiting in it for one, and twice that for all; beyond that the answer is None.
"""

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

WAIT = 0.25  # seconds, for one read, and of a second for one; one more may end beyond that
STUCK = 16  # helpers, of all together
_QUICK = 0.01  # that is no waiting: a thread may take as long to get a turn


class Patience:
    """Helpers for one place that reads; `ask` may be called in any thread, and blocks it."""

    def __init__(self, wait: float = WAIT, now: Callable[[], float] = time.monotonic) -> None:
        """No thread is made before the first is needed; they end with the daemon."""
        self._wait = wait
        self._now = now
        self._lock = threading.Lock()
        self._idle: list[_Helper] = []
        self._stuck: dict[_Helper, Hashable] = {}
        self._second = 0
        self._waited: dict[Hashable, float] = {}

    def ask(self, whose: Hashable, work: Callable[[], T]) -> T | None:
        """What `work` returns or raises; None where `whose` processes are not to be waited for."""
        begun = self._now()
        helper = self._helper(whose, begun)
        if helper is None:
            return None
        answer: Future[T] = Future()
        helper.work.put(lambda: _answer(answer, work))
        try:
            return answer.result(self._wait)
        except TimeoutError:
            return None
        finally:
            self._note(helper, whose, self._now() - begun)
            answer.add_done_callback(lambda _: self._back(helper))

    def _helper(self, whose: Hashable, now: float) -> "_Helper | None":
        with self._lock:
            if int(now) != self._second:
                self._second = int(now)
                self._waited.clear()
            if whose in self._stuck.values() or len(self._stuck) >= STUCK:
                return None
            mine, together = self._waited.get(whose, 0.0), sum(self._waited.values())
            if mine >= self._wait or together >= 2 * self._wait:
                return None
            return self._idle.pop() if self._idle else _Helper()

    def _note(self, helper: "_Helper", whose: Hashable, took: float) -> None:
        with self._lock:
            self._stuck[helper] = whose
            if took > _QUICK:
                self._waited[whose] = self._waited.get(whose, 0.0) + took

    def _back(self, helper: "_Helper") -> None:
        """At once where the answer has come; else in the helper's own thread, one day."""
        with self._lock:
            del self._stuck[helper]
            self._idle.append(helper)


class _Helper:
    """Not one of a pool, which the daemon's end would wait for."""

    def __init__(self) -> None:
        self.work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._run, name="patience", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.work.get()()


def _answer(answer: Future[T], work: Callable[[], T]) -> None:
    try:
        answer.set_result(work())
    except BaseException as e:  # noqa: BLE001 - raised where it is waited for
        answer.set_exception(e)
