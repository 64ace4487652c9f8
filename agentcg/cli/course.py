"""A trace as a page of text: memory and CPU over time, limits, and events with their numbers."""

import datetime
import itertools
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from agentcg.cli import plot
from agentcg.cli.plot import Cells, Column, Glyphs, Line
from agentcg.cli.render import size, span
from agentcg.model.event import Event
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Trace

_MEMORY_ROWS = 10
_CPU_ROWS = 4
_LISTED = 14
_MARKS = "123456789abcdefghijklmnopqrstuvwxyz"
_NARROW = 30
_SHOWN = 0.01  # seconds of waiting worth a word


def page(trace: Trace, *, width: int, glyphs: Glyphs) -> list[Text]:
    """The lines to print, each at most `width` wide."""
    lines = [_cut(text, width, glyphs) for text in _head(trace)]
    if not trace.samples:
        lines.append(Text("nothing was recorded in that time"))
    else:
        columns = max(_NARROW, width - plot.MARGIN)
        begin, end = trace.samples[0].clock, trace.samples[-1].clock
        lines += [_joined(cells) for cells in _memory(trace, begin, end, columns, glyphs)]
        lines += [_joined(cells) for cells in _cpu(trace, begin, end, columns, glyphs)]
        lines += _axis(trace, columns)
    marks = _marks(trace.events)
    if trace.samples:
        lines.append(_mark_line(trace, marks, max(_NARROW, width - plot.MARGIN)))
    lines += [_cut(text, width, glyphs) for text in _events(marks, alone=trace.call is not None)]
    if trace.cut:
        lines.append(Text("the oldest samples of that time are left out: name a shorter one"))
    if trace.lost:
        lines.append(Text(f"{trace.lost} samples could not be recorded since the daemon started"))
    return lines


def _head(trace: Trace) -> Iterator[str]:
    call = trace.call
    if call is None:
        yield f"session {trace.session}"
    else:
        what = call.intent.command or call.intent.tool
        yield f"{call.id} in {trace.session}, {call.state.value}: {what}"
    if not trace.samples:
        return
    last = trace.samples[-1].usage
    peak = max((s.usage.peak for s in trace.samples if s.usage.peak is not None), default=None)
    limit = "none of its own" if trace.limit is None else size(trace.limit)
    words = [f"limit {limit}"]
    if last.memory is not None:
        words = [f"memory {size(last.memory)}", f"peak {size(peak)}", *words]
    else:
        words[0] = f"memory {words[0]}"
    if trace.guarantee:
        words.append(f"guarantee {size(trace.guarantee)}")
    yield ", ".join(words)
    full = next((s.usage for s in reversed(trace.samples) if s.full), None)
    if full is not None:
        yield ", ".join(_sums(full))


def _sums(usage: Usage) -> Iterator[str]:
    yield f"CPU {span(usage.cpu)}"
    if usage.throttled:
        yield f"held back {span(usage.throttled)}"
    waits = (("memory", usage.memory_some), ("a CPU", usage.cpu_some), ("devices", usage.io_some))
    waited = [f"{what} {span(time)}" for what, time in waits if time and time >= _SHOWN]
    if waited:
        yield f"waited for {', for '.join(waited)}"
    if usage.reclaimed:
        yield f"reclaimed {size(usage.reclaimed)}"
    if usage.read or usage.written:
        yield f"read {size(usage.read)}, wrote {size(usage.written)}"
    if usage.pids is not None:
        yield f"{usage.pids} tasks"


def _memory(trace: Trace, begin: float, end: float, width: int, glyphs: Glyphs) -> Sequence[Cells]:
    points = [
        (s.clock, float(s.usage.memory), float(max(s.usage.peak or 0, s.usage.memory)))
        for s in trace.samples
        if s.usage.memory is not None
    ]
    if not points:
        return [[("memory is not recorded on this host", "dim")]]
    top = plot.scale_of(max(high for _, _, high in points), trace.limit)
    lines = []
    if trace.limit is not None and trace.limit <= top:
        lines.append(Line(trace.limit, "limit", "red"))
    if 0 < trace.guarantee <= top:
        lines.append(Line(trace.guarantee, "guarantee", "green", solid=False))
    columns = plot.columns_of(points, begin, end, width)
    return plot.draw(columns, lines, height=_MEMORY_ROWS, top=top, label=_bytes, glyphs=glyphs)


def _bytes(value: float) -> str:
    """Its size; without the fraction where the scale has no room for that."""
    text = size(value)
    if len(text) < plot.MARGIN:
        return text
    number, unit = text.split()
    return f"{float(number):.0f} {unit}"


def _cpu(trace: Trace, begin: float, end: float, width: int, glyphs: Glyphs) -> Sequence[Cells]:
    columns = cores(trace.samples, begin, end, width)
    known = [c.value for c in columns if c.value is not None]
    if not known:
        return []
    cpus = trace.call.grant.cpus if trace.call is not None else None
    most = None if cpus is None else float(len(cpus))
    top = max(plot.scale_of(max(known), most), 1.0)
    lines = [] if most is None else [Line(most, f"{most:g} CPUs granted", "red")]
    return plot.draw(columns, lines, height=_CPU_ROWS, top=top, label=_cores, glyphs=glyphs)


def cores(samples: Iterable[Sample], begin: float, end: float, width: int) -> list[Column]:
    """CPUs in use: what was used between two full readings, spread evenly."""
    found = [Column()] * width
    known = [(s.clock, s.usage.cpu) for s in samples if s.usage.cpu is not None]
    for (since, before), (until, now) in itertools.pairwise(known):
        if until <= since:
            continue
        rate = max(0.0, now - before) / (until - since)
        first = plot.position(since, begin, end, width)
        last = plot.position(until, begin, end, width)
        for number in range(first, last + 1):
            old = found[number].value
            found[number] = Column(rate if old is None or number > first else max(old, rate))
    return found


def _axis(trace: Trace, width: int) -> list[Text]:
    first, last = trace.samples[0], trace.samples[-1]
    begin, end = _clock(first.at), _clock(last.at)
    took = span(last.clock - first.clock)
    room = width - len(begin) - len(end)
    middle = f"{took:^{room}}" if room > len(took) else " " * max(1, room)
    return [Text(" " * plot.MARGIN + begin + middle + end, "dim")]


Mark = tuple[str, Event, int]


def _marks(events: Sequence[Event]) -> list[Mark]:
    """Events to list, each with its sign and how often it came in a row."""
    rows: list[tuple[Event, int]] = []
    for event in events:
        if rows and rows[-1][0].kind is event.kind and rows[-1][0].call == event.call:
            rows[-1] = (rows[-1][0], rows[-1][1] + 1)
        else:
            rows.append((event, 1))
    return [
        (_MARKS[number] if number < len(_MARKS) else "*", event, times)
        for number, (event, times) in enumerate(rows)
    ]


def _mark_line(trace: Trace, marks: Sequence[Mark], width: int) -> Text:
    """The signs below the axis, by the time of day, as events have no other."""
    begin, end = trace.samples[0].at, trace.samples[-1].at
    cells = [" "] * width
    for sign, event, _ in marks:
        if begin - 1 <= event.at <= end + 1:
            place = plot.position(event.at, begin, end, width)
            cells[place] = sign if cells[place] == " " else "+"
    return Text(" " * plot.MARGIN + "".join(cells).rstrip(), "yellow")


def _events(marks: Sequence[Mark], *, alone: bool) -> Iterator[str]:
    shown = marks if len(marks) <= _LISTED else [*marks[: _LISTED // 2], *marks[-_LISTED // 2 :]]
    for number, (sign, event, times) in enumerate(shown):
        if len(marks) > _LISTED and number == _LISTED // 2:
            yield f"    ... {len(marks) - len(shown)} more: -o json has all"
        who = f" {event.call}" if event.call and not alone else ""
        often = f" ({times} times)" if times > 1 else ""
        yield f" {sign} {_clock(event.at)} {event.kind.value}{who}{often} {event.text}"


def _clock(at: float) -> str:
    return datetime.datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def _cores(value: float) -> str:
    return f"{value:.1f} CPU"


def _joined(cells: Cells) -> Text:
    return Text.assemble(*cells)


def _cut(text: str, width: int, glyphs: Glyphs) -> Text:
    line = Text(plot.shown(text, glyphs), no_wrap=True)
    if line.cell_len > width:
        line.truncate(width - 3, overflow="crop")
        line.append("...")
    return line
