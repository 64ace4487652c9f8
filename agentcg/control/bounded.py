"""Calls that may hang: those of one thing one after another, each waited for so long, no longer.

In threads of their own, which do not keep the daemon from ending: what hangs in a driver or an
engine hangs for good, and would take those that the daemon needs for cgroups.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from agentcg.errors import AgentcgError, UnavailableError

T = TypeVar("T")


class LateError(UnavailableError):
    """It did not answer in time, and may do yet what it was asked for."""


class Bounded:
    """One thing that may hang. While it does it is not called again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._turn = asyncio.Lock()
        self._last: asyncio.Future[Any] | None = None
        self._hangs = False  # longer than it was given

    async def do(self, work: Callable[[], T], within: float) -> T:
        """What `work` returns.

        Raises:
            LateError: it did not return in time.
            UnavailableError: it was not called, as an earlier call has not returned yet.
            AgentcgError: as `work` raised it.
        """
        async with self._turn:
            last = self._last
            # One whose caller was cancelled has its time too.
            if last is not None and not (self._hangs or last.done()):
                self._hangs = not (await asyncio.wait([last], timeout=within))[0]
            if last is not None and not last.done():
                raise UnavailableError(f"{self._what} hangs, and is not called until it returns")
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[T] = loop.create_future()
            answer.add_done_callback(_seen)
            thread = threading.Thread(target=_run, args=(loop, answer, work), daemon=True)
            try:
                thread.start()
            except RuntimeError as e:  # no more threads
                raise UnavailableError(f"{self._what} was not called: {e}") from e
            self._last = answer
            self._hangs = not (await asyncio.wait([answer], timeout=within))[0]
            if self._hangs:
                raise LateError(f"{self._what} did not answer for {within:g} s")
            try:
                return answer.result()
            except AgentcgError:
                raise
            except Exception as e:
                raise UnavailableError(f"{self._what} failed: {type(e).__name__}: {e}") from e


def _run(
    loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[T]", work: Callable[[], T]
) -> None:
    try:
        found = work()
    except Exception as e:  # noqa: BLE001 - it is the caller's, in the other thread
        _later(loop, answer.set_exception, e)
    else:
        _later(loop, answer.set_result, found)


def _later(loop: asyncio.AbstractEventLoop, tell: Callable[[Any], None], what: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits
        loop.call_soon_threadsafe(tell, what)


def _seen(answer: "asyncio.Future[Any]") -> None:
    """Take note of a failure that nobody waits for any more, or asyncio would log it."""
    if not answer.cancelled():
        answer.exception()
