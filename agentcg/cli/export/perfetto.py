"""An export as Chrome's JSON trace events, which ui.perfetto.dev opens.

A session is a process. Its calls are slices in as many rows as there are at a time; memory and CPU
of a row's calls are counters, as are those of the session; kills and throttles are instants.
Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agentcg.cli.export.items import CallItem, EventItem, Item, SampleItem, SessionItem
from agentcg.cli.render import escape
from agentcg.model.call import Call
from agentcg.model.event import Event, Kind
from agentcg.model.outcome import UNSTOPPED
from agentcg.model.sample import Sample

_TOLD = {
    Kind.CALL_OOM,
    Kind.CALL_STALLED,
    Kind.CALL_THROTTLED,
    Kind.AGENT_OOM,
    Kind.AGENT_THROTTLED,
    Kind.POOL_FULL,
    Kind.PRESSURE,
}


@dataclass(slots=True)
class Perfetto:
    """Makes trace events of items; it remembers rows, not what is in them."""

    _pid: int = 0
    _row: int = 0
    _rows: list[float] = field(default_factory=list)
    _before: Sample | None = None
    _subject: str = ""

    def text(self, items: Iterator[Item]) -> Iterator[str]:
        """The file, in parts."""
        yield '{"displayTimeUnit":"ms","traceEvents":[\n'
        first = True
        for item in items:
            for event in self._events(item):
                yield ("" if first else ",\n") + json.dumps(event, separators=(",", ":"))
                first = False
        yield "\n]}\n"

    def _events(self, item: Item) -> Iterator[dict[str, Any]]:
        match item:
            case SessionItem():
                self._pid += 1
                self._rows, self._subject, self._before = [], "", None
                yield self._meta("process_name", 0, f"session {escape(item.session)}")
            case CallItem():
                yield from self._call(item)
            case SampleItem():
                yield from self._sample(item)
            case EventItem():
                yield from self._instant(item.event)

    def _meta(self, name: str, tid: int, text: str) -> dict[str, Any]:
        return {"ph": "M", "name": name, "pid": self._pid, "tid": tid, "args": {"name": text}}

    def _call(self, item: CallItem) -> Iterator[dict[str, Any]]:
        # Calls come latest first: a row is free where all that is in it begins later.
        free = (n for n, begin in enumerate(self._rows) if begin >= item.closed)
        number = next(free, len(self._rows))
        if number == len(self._rows):
            self._rows.append(item.begin)
            yield self._meta("thread_name", number + 1, f"calls {number + 1}")
        self._rows[number] = item.begin
        self._row = number + 1
        yield {
            "ph": "X",
            "cat": "call",
            "name": escape(item.title)[:200],
            "pid": self._pid,
            "tid": self._row,
            "ts": _micros(item.begin),
            "dur": max(0, _micros(item.end) - _micros(item.begin)),
            "args": _about(item),
        }
        for name in ("memory", "CPU"):
            # Else the last value would go on to the next call of the row.
            yield self._counter(f"{name}, calls {self._row}", item.closed, 0)

    def _sample(self, item: SampleItem) -> Iterator[dict[str, Any]]:
        if item.call != self._subject:
            self._subject, self._before = item.call, None
        at, usage = item.sample.at, item.sample.usage
        where = f", calls {self._row}" if item.call else ""
        if usage.memory is not None:
            # Its peak since the last reading, so that no burst is missing.
            yield self._counter(f"memory{where}", at, max(usage.memory, usage.peak or 0))
        before = self._before
        if not item.sample.full:
            return
        self._before = item.sample
        passed = 0.0 if before is None else item.sample.clock - before.clock
        if before is None or passed <= 0:
            return
        rates = [("CPU", before.usage.cpu, usage.cpu)]
        if not item.call:
            rates.append(("waiting for memory", before.usage.memory_some, usage.memory_some))
            rates.append(("throttled", before.usage.throttled, usage.throttled))
        for name, old, new in rates:
            if old is not None and new is not None:
                yield self._counter(f"{name}{where}", at, round(max(0.0, new - old) / passed, 4))

    def _counter(self, name: str, at: float, value: float) -> dict[str, Any]:
        unit = "bytes" if name.startswith("memory") else "share"
        unit = "cores" if name.startswith("CPU") else unit
        return {
            "ph": "C",
            "name": name,
            "pid": self._pid,
            "ts": _micros(at),
            "args": {unit: value},
        }

    def _instant(self, event: Event) -> Iterator[dict[str, Any]]:
        killed = event.kind is Kind.CALL_ENDED and event.data.get("cause") not in UNSTOPPED
        if not killed and event.kind not in _TOLD:
            return
        name = f"killed: {event.data.get('cause')}" if killed else event.kind.value
        yield {
            "ph": "i",
            "s": "p",
            "cat": "event",
            "name": name,
            "pid": self._pid,
            "tid": 0,
            "ts": _micros(event.at),
            "args": {**_data(event), "call": event.call, "text": escape(event.text)},
        }


def _about(item: CallItem) -> dict[str, Any]:
    one = item.record
    about: dict[str, Any] = {"call": item.call}
    if not isinstance(one, Call):
        return about | {"cause": one.cause.value, "peak": one.peak, "cpu": one.cpu}
    about |= {"state": one.state.value, "tool": escape(one.intent.tool)}
    about |= {"limit": one.grant.memory_limit, "guarantee": one.grant.memory_guarantee}
    if one.outcome is not None:
        end = one.outcome
        about |= {"cause": end.cause.value, "exit_code": end.exit_code, "peak": end.peak}
        about |= {"cpu": end.cpu, "advice": escape(end.advice)}
    return about


def _data(event: Event) -> dict[str, Any]:
    found = {escape(str(key)): value for key, value in event.data.items()}
    return {key: escape(v) if isinstance(v, str) else v for key, v in found.items()}


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)
