"""A store for tests: whose clock the test puts."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agentcg.model.sample import Sample
from agentcg.telemetry import recall, shelf
from agentcg.telemetry.dayfile import Span
from agentcg.telemetry.store import Store
from agentcg.telemetry.writer import Rules, Writer

EVER = Span(0.0, 1e12)
DAY = 86400.0


@dataclass
class Bench:
    """A store whose time of day the test puts, and what it told."""

    folder: Path
    ahead: float = 0.0
    told: list[str] = field(default_factory=list)
    boot: str = "boot-1"
    days: int = 7
    size: int = 1 << 30
    made: list[Store] = field(default_factory=list)

    def open(self) -> Store:
        rules = Rules(self.folder, self.days, self.size, self.boot)
        writer = Writer(rules, now=self.now, clock=time.monotonic, tell=self.told.append)
        one = Store(writer)
        self.made.append(one)
        return one

    def now(self) -> float:
        return time.time() + self.ahead

    @property
    def files(self) -> list[str]:
        return [one.path.name for one in shelf.kept(self.folder)]


def until(check: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not check():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.01)


def taken(one: Store, call: str = "c-1", span: Span = EVER) -> list[Sample]:
    return recall.samples(one, "s-1", call, span)[0]


def written(one: Store) -> None:
    until(lambda: not one._pending and not one._items and not one._writer.waits, "the disk")
