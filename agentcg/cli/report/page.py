"""A report as one HTML document: nothing in it is fetched, nothing runs."""

from collections.abc import Iterable, Iterator

from agentcg.cli.render import size
from agentcg.cli.report import plots, tables
from agentcg.cli.report.gather import Material, Section
from agentcg.cli.report.markup import Markup, el, join
from agentcg.cli.report.style import CSS
from agentcg.model.trace import Trace

_OUTCOMES = (
    ("ended", "ended by itself"),
    ("oom", "killed for memory, with a cross"),
    ("limit", "stopped at another limit, with a cross"),
    ("stopped", "stopped on request or by a signal"),
    ("open", "open"),
)
_WAITS = (
    ("back-a", "memory, some"),
    ("back-d", "memory, all"),
    ("back-b", "CPU, some"),
    ("back-c", "devices, some"),
)
# Whatever got into it against all escaping: nothing is loaded or run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(made: Material) -> bytes:
    """The document; all beyond ASCII is written as references, so any stream takes it."""
    title = f"agentcg: {made.title}"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width"),
        el("title", title),
        el("style", Markup(CSS)),
    )
    body = el("body", el("header", *_header(made, title)), el("main", *_main(made)))
    whole = "<!DOCTYPE html>\n" + el("html", head, body, lang="en") + "\n"
    return whole.encode("ascii", "xmlcharrefreplace")


def _header(made: Material, title: str) -> Iterator[Markup]:
    yield el("h1", title)
    span = f"{tables.clock(made.since)} to {tables.clock(made.until)}"
    yield el("p", f"{span}, local time; made {tables.clock(made.made)}")
    for note in dict.fromkeys(made.notes):
        yield el("p", note, class_="note")


def _main(made: Material) -> Iterator[Markup]:
    yield tables.totals(made)
    yield el("h2", "Intent and outcome")
    yield tables.wasters(made)
    yield tables.accuracy(made)
    yield tables.outcomes(made)
    if len(made.sessions) > 1:
        yield el("h2", "Sessions")
        yield tables.sessions(made)
    for section in made.sections:
        yield from _section(section)
    left = len(made.sessions) - len(made.sections)
    if left > 0:
        words = (
            f"{left} more sessions are in the figures above and not drawn: `agentcg report NAME`"
        )
        yield el("p", words)


def _section(section: Section) -> Iterator[Markup]:
    yield el("h2", f"Session {section.session}" + (" (open)" if section.open else ""))
    begin, end = _extent(section)
    memory = plots.memory(section, begin, end)
    if memory is None:
        yield el("p", "Of its memory nothing is recorded in this time.")
    else:
        words = "Memory: of the session, of its calls (highest peaks)"
        count = len(plots.marked(section.course.events, begin, end))
        if count > plots.MARKS:
            words += f"; of {count} events the last {plots.MARKS} are marked"
        yield _figure(words, memory, _lines(section))
    if section.bars:
        drawn, left = plots.gantt(section.bars, begin, end, section.session)
        words = f"Calls by their outcome; {left} more are not drawn" if left else "Calls by outcome"
        yield _figure(words, drawn, _OUTCOMES)
    pressure = plots.pressure(section, begin, end)
    if pressure is not None:
        words = "Pressure (PSI): the share of time in which its tasks waited, between readings"
        yield _figure(words, pressure, _WAITS)
    for trace in section.calls:
        yield _figure(_caption(trace), plots.call(trace), ())


def _extent(section: Section) -> tuple[float, float]:
    """From the first to the last of what is drawn, within the time that is reported."""
    times = [one.at for one in section.course.samples]
    times += [time for bar in section.bars for time in (bar.begin, bar.end)]
    if not times:
        return section.begin, section.end
    begin = min(section.end, max(section.begin, min(times)))
    return begin, max(begin + 1.0, min(section.end, max(times)))


def _lines(section: Section) -> Iterator[tuple[str, str]]:
    yield from (("back-used", "used"), ("back-high", "highest between readings"))
    if section.course.limit is not None:
        yield "back-bound", f"limit {size(section.course.limit)}"
    for style, trace in zip("abcdef", section.calls, strict=False):
        if trace.call is not None:
            yield f"back-{style}", trace.call.id


def _caption(trace: Trace) -> str:
    call = trace.call
    if call is None:
        return f"Memory of {trace.session}"
    limit = "no limit of its own" if trace.limit is None else f"limit {size(trace.limit)}"
    how = call.state.value if call.outcome is None else call.outcome.cause.value
    what = call.intent.command or call.intent.tool
    return f"{call.id} ({how}, {limit}): {what[:200]}"


def _figure(caption: str, drawn: Markup, keys: Iterable[tuple[str, str]]) -> Markup:
    legend = [join(el("span", class_=f"key {style}"), el("span", words)) for style, words in keys]
    return el("figure", el("figcaption", caption, join(*legend)), drawn)
