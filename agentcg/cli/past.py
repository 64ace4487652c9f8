"""The lists of what the daemon has recorded, read whole: page by page."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from agentcg.errors import LimitError
from agentcg.model.trace import Account, Recorded, Window

if TYPE_CHECKING:
    from agentcg.client import Client

T = TypeVar("T")
# Of a list: what an answer takes of the daemon's time.
PAGE = 1000
# The end of a time that has none. Not now: the time of day may have been put back.
EVER = 1e11
# Closed calls that are read at most.
MOST = 200_000
# A session may have one query in flight; another of its processes may be asking.
_TRIES = 60
_AGAIN = 1.0


def patiently(ask: Callable[[], T]) -> T:
    """Ask, and again later where somebody else's question is in the way."""
    for _ in range(_TRIES):
        try:
            return ask()
        except LimitError:
            time.sleep(_AGAIN)
    return ask()


def accounts(daemon: "Client", since: float, until: float, session: str | None) -> list[Account]:
    """All closed calls that were declared in a time, newest first; `MOST` at most."""
    return list(itertools.islice(closed(daemon, since, until, session), MOST))


def closed(daemon: "Client", since: float, until: float, session: str | None) -> Iterator[Account]:
    """All closed calls that were declared in a time, newest first, as they are asked for."""
    window, before = Window(since, until, PAGE), None
    while True:
        page = patiently(lambda w=window, b=before: daemon.accounts(w, session, b))  # type: ignore[misc]
        if not page:
            # A short page may only lack what is damaged.
            return
        yield from page
        window, before = replace(window, until=page[-1].declared_at), page[-1].call


def sessions(daemon: "Client", since: float, until: float, session: str | None) -> list[Recorded]:
    """All sessions of which something was recorded in a time, by name."""
    found: list[Recorded] = []
    window, after = Window(since, until, PAGE), None
    while True:
        page = patiently(lambda a=after: daemon.recorded(window, session, a))  # type: ignore[misc]
        if not page:
            return found
        found += page
        after = page[-1].session
