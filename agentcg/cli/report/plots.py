"""The plots of a report: memory against limits, calls as bars, pressure."""

import itertools
from collections.abc import Callable, Iterator, Sequence

from agentcg.cli.plot import scale_of
from agentcg.cli.render import size, span
from agentcg.cli.report import svg
from agentcg.cli.report.gather import BY_ITSELF, Bar, Section
from agentcg.cli.report.markup import Markup, el
from agentcg.cli.report.svg import LEFT, TOP, Frame, Point
from agentcg.model.event import Event, Kind
from agentcg.model.outcome import Cause
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Trace

_MEMORY, _CALL, _PSI, _LANE = 220, 120, 120, 10
LANES = 40
BARS = 1500
MARKS = 200
LINES = 6  # calls in the plot of their session; more cannot be told apart
_MARKED = frozenset({Kind.CALL_OOM, Kind.AGENT_OOM, Kind.CALL_STALLED, Kind.POOL_FULL})
_WAITS: tuple[tuple[str, Callable[[Usage], float | None]], ...] = (
    ("psi-memory", lambda usage: usage.memory_some),
    ("psi-full", lambda usage: usage.memory_full),
    ("psi-cpu", lambda usage: usage.cpu_some),
    ("psi-io", lambda usage: usage.io_some),
)


def outcome(cause: Cause | None) -> str:
    """The class of an outcome, by which it is coloured."""
    match cause:
        case None:
            return "open"
        case Cause.OOM:
            return "oom"
        case Cause.PIDS | Cause.DEADLINE | Cause.STALL | Cause.PRESSURE | Cause.GPU:
            return "limit"
        case _ if cause in BY_ITSELF:
            return "ended"
        case _:
            return "stopped"


def memory(section: Section, begin: float, end: float) -> Markup | None:
    """A session's memory and that of its largest calls; None where it was not recorded."""
    used, peaks = _memory(section.course.samples)
    if not used:
        return None
    limit = section.course.limit
    top = scale_of(max(value for _, value in peaks), limit)
    frame = Frame(begin, end, top, _MEMORY)
    calls = [
        svg.line(frame, _memory(one.samples)[1], f"call call{number}")
        for number, one in enumerate(section.calls[:LINES])
    ]
    return svg.plot(
        frame,
        f"Memory of {section.session}",
        *svg.axes(frame, size),
        svg.area(frame, peaks, "peak"),
        svg.area(frame, used, "memory"),
        *calls,
        *svg.level(frame, limit, "bound", "limit"),
        *_marks(frame, section.course.events),
    )


def call(trace: Trace) -> Markup:
    """A call's memory against its own limit and guarantee."""
    used, peaks = _memory(trace.samples)
    top = scale_of(max((value for _, value in peaks), default=0.0), trace.limit)
    times = [one.at for one in trace.samples]
    frame = Frame(min(times), max(times), top, _CALL)
    return svg.plot(
        frame,
        "Memory of a call",
        *svg.axes(frame, size),
        svg.area(frame, peaks, "peak"),
        svg.area(frame, used, "memory"),
        *svg.level(frame, trace.limit, "bound", "limit"),
        *svg.level(frame, trace.guarantee, "kept", "guarantee"),
        *_marks(frame, trace.events),
    )


def pressure(section: Section, begin: float, end: float) -> Markup | None:
    """The share of time in which some (or all) of its tasks waited; None where not recorded."""
    lines = [(style, waits(section.course.samples, of)) for style, of in _WAITS]
    if not any(points for _, points in lines):
        return None
    most = max(value for _, points in lines for _, value in points)
    frame = Frame(begin, end, min(100.0, max(5.0, scale_of(most, None))), _PSI)
    return svg.plot(
        frame,
        f"Pressure of {section.session}",
        *svg.axes(frame, lambda value: f"{value:.3g} %"),
        *(svg.line(frame, points, style) for style, points in lines),
    )


def gantt(bars: Sequence[Bar], begin: float, end: float, name: str) -> tuple[Markup, int]:
    """Calls in lanes, coloured by their outcome; and how many there was no room for."""
    chosen = sorted(bars, key=lambda one: (one.cause in BY_ITSELF, one.begin - one.end))[:BARS]
    placed = list(lanes(sorted(chosen, key=lambda one: (one.begin, one.call))))
    drawn = [(lane, bar) for lane, bar in placed if lane < LANES]
    rows = max((lane for lane, _ in drawn), default=0) + 1
    frame = Frame(begin, end, 1.0, rows * _LANE)
    made = svg.plot(
        frame,
        f"Calls of {name}",
        *svg.axes(frame, None),
        *itertools.chain.from_iterable(_bar(frame, lane, bar) for lane, bar in drawn),
    )
    return made, len(bars) - len(drawn)


def lanes(bars: Sequence[Bar]) -> Iterator[tuple[int, Bar]]:
    """Each bar with the first lane in which none before it goes on; they come by their begin."""
    ends: list[float] = []
    for bar in bars:
        free = next((n for n, end in enumerate(ends) if end <= bar.begin), len(ends))
        ends[free : free + 1] = [bar.end]
        yield free, bar


def _bar(frame: Frame, lane: int, bar: Bar) -> Iterator[Markup]:
    x, y = frame.x(bar.begin), TOP + lane * _LANE
    width = max(1.5, frame.x(bar.end) - x)
    how = "open" if bar.cause is None else bar.cause.value
    words = f"{bar.call} {bar.kind}: {how}, {span(bar.end - bar.begin)}, peak {size(bar.peak)}"
    shape = {"x": x, "y": float(y + 1), "width": width, "height": _LANE - 2}
    yield el("rect", el("title", words), class_=outcome(bar.cause), **shape)
    if outcome(bar.cause) in {"oom", "limit"}:
        # Not by its colour alone.
        yield el("path", d=f"M{x + width - 3:.1f} {y + 2}l6 6m0 -6l-6 6", class_="cross")


def marked(events: Sequence[Event], begin: float, end: float) -> list[Event]:
    """Those to mark in a plot; of more than `MARKS` the newest are."""
    return [one for one in events if one.kind in _MARKED and begin <= one.at <= end]


def _marks(frame: Frame, events: Sequence[Event]) -> Iterator[Markup]:
    for one in marked(events, frame.begin, frame.end)[-MARKS:]:
        x = max(LEFT + 4.0, frame.x(one.at))
        shape = f"M{x:.1f} {TOP + frame.height}l-4 8h8z"
        yield el("path", el("title", f"{one.kind.value} {one.call or ''}"), d=shape, class_="mark")


def _memory(samples: Sequence[Sample]) -> tuple[list[Point], list[Point]]:
    """What was used, and the highest since the sample before."""
    known = [(one.at, one.usage.memory, one.usage.peak) for one in samples]
    used = [(at, float(now)) for at, now, _ in known if now is not None]
    peaks = [(at, float(max(now, peak or 0))) for at, now, peak in known if now is not None]
    return used, peaks


def waits(samples: Sequence[Sample], of: Callable[[Usage], float | None]) -> list[Point]:
    """Percent of the time between two full samples; not over a counter that began anew."""
    known = [(one, of(one.usage)) for one in samples if one.full]
    found = []
    for (a, before), (b, now) in itertools.pairwise(known):
        if before is None or now is None or b.clock <= a.clock or now < before:
            continue
        found.append((b.at, min(100.0, (now - before) / (b.clock - a.clock) * 100)))
    return found
