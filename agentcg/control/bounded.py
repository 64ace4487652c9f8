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


class Bounded:
    """One thing that may hang. While it does it is not called again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._turn = asyncio.Lock()
        self._last: asyncio.Future[Any] | None = None

    async def do(self, work: Callable[[], T], within: float) -> T:
        """What `work` returns.

        Raises:
            UnavailableError: it did not return in time, or an earlier call has not yet.
            AgentcgError: as `work` raised it.
        """
        async with self._turn:
            if self._last is not None and not self._last.done():
                raise UnavailableError(f"{self._what} hangs, and is not called until it returns")
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[T] = loop.create_future()
            answer.add_done_callback(_seen)
            self._last = answer
            thread = threading.Thread(target=_run, args=(loop, answer, work), daemon=True)
            thread.start()
            if not (await asyncio.wait([answer], timeout=within))[0]:
                raise UnavailableError(f"{self._what} did not answer for {within:g} s")
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
