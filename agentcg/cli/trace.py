"""`agentcg trace` and `agentcg stats`: what was recorded."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, fields, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli import output
from agentcg.cli.output import Sheet, SheetOption
from agentcg.cli.render import NONE, size, span

if TYPE_CHECKING:
    from rich.text import Text

    from agentcg.client import Client
    from agentcg.model.event import Event
    from agentcg.model.sample import Sample
    from agentcg.model.trace import KindStats, Spread, Trace, Window

    Reader = Callable[[Window], Trace]

EVERY = 1.0
USUAL, MOST_WIDE = 80, 160
# Of these more are drawn than columns hold.
MOST_HELD = 4000
_SPREADS = frozenset({"peak", "wall", "cpu", "used_of_limit"})
_KINDS = (
    "KIND",
    "CALLS",
    "FAILED",
    "OOM",
    "PEAK P50",
    "P90",
    "MOST",
    "TIME P50",
    "P90",
    "OF ASKED",
)


class Shape(StrEnum):
    """How a trace is printed."""

    PLOT = "plot"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(trace)
    app.command()(stats)


def trace(
    what: Annotated[str, typer.Argument(help="A call's id or its beginning, or a session's id.")],
    *,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until it is closed.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Begin so long ago: 90s, 10m, 2h. A session's hour if unsaid."),
    ] = None,
    points: Annotated[
        int, typer.Option(min=1, max=2000, help="The most samples: one may stand for several.")
    ] = 500,
    form: Annotated[
        Shape, typer.Option("-o", "--output", help="A plot, or all figures.")
    ] = Shape.PLOT,
) -> None:
    """Plot what a call or session used over time, its limits, and what happened to it."""
    from agentcg import units
    from agentcg.cli.link import client
    from agentcg.model.trace import Window

    begin = None if since is None else time.time() - units.parse_duration(since)
    with client() as daemon:
        read = _reader(daemon, what)
        window = Window(begin, points=points)
        if not follow:
            _print(read(window), form)
        elif form is Shape.PLOT:
            _live(read, window)
        else:
            _stream(read, window, form)


def stats(
    *,
    since: Annotated[str, typer.Option(help="Calls declared so long ago at most.")] = "1d",
    most: Annotated[int, typer.Option(min=1, max=2000, help="The most classes.")] = 50,
    kind: Annotated[str | None, typer.Option(help='Only this class, such as "git status".')] = None,
    form: SheetOption = Sheet.TABLE,
) -> None:
    """Show what closed calls used, by class of command, and how that compares with their intent.

    OF ASKED is the peak as a share of the memory limit that was asked for: half of the calls that
    asked stayed below the first figure, nine of ten below the second.
    """
    from agentcg import units
    from agentcg.cli.link import client
    from agentcg.model.trace import Window

    with client() as daemon:
        window = Window(time.time() - units.parse_duration(since), points=most)
        found = daemon.stats(window, kind)
    match form:
        case Sheet.JSON:
            output.json(found)
        case Sheet.CSV:
            columns, rows = _flat(found)
            output.csv(columns, rows)
        case Sheet.TABLE:
            output.table(_KINDS, [_row(one) for one in found], right=range(1, len(_KINDS)))
            if not found:
                output.line("no call was closed in that time")


def _reader(daemon: "Client", what: str) -> "Reader":
    """What reads the trace of that: an open session of that very id, else a call."""
    from agentcg.cli.link import find
    from agentcg.errors import NotFoundError
    from agentcg.model.trace import Window

    if any(view.session.id == what for view in daemon.sessions()):
        return partial(daemon.session_trace, what)
    with contextlib.suppress(NotFoundError):
        # However old: what is listed are the last ones.
        return partial(daemon.call_trace, daemon.call(what).call.id)
    with contextlib.suppress(NotFoundError):
        return partial(daemon.call_trace, find(daemon, what).call.id)
    with contextlib.suppress(NotFoundError):
        # Its record is forgotten, its trace is not.
        daemon.call_trace(what, Window(points=1))
        return partial(daemon.call_trace, what)
    # A session that is closed, or nothing: the daemon says which.
    return partial(daemon.session_trace, what)


def _print(found: "Trace", form: Shape) -> None:
    match form:
        case Shape.JSON:
            output.json(found)
        case Shape.CSV:
            output.csv(_columns(), map(_values, found.samples))
        case Shape.PLOT:
            from rich.console import Group

            output.show(Group(*_page(found)))


def _live(read: "Reader", window: "Window") -> None:
    """The plot, drawn anew each second."""
    from rich.console import Group
    from rich.live import Live

    from agentcg.policy.thinning import thinned

    samples: list[Sample] = []
    events: list[Event] = []
    with Live(console=output.console(), auto_refresh=False, vertical_overflow="crop") as screen:
        for fresh in _course(read, window):
            samples += fresh.samples
            events += fresh.events
            if len(samples) > MOST_HELD:
                samples = thinned(samples, MOST_HELD // 2)
            whole = replace(fresh, samples=tuple(samples), events=tuple(events))
            screen.update(Group(*_page(whole)), refresh=True)


def _stream(read: "Reader", window: "Window", form: Shape) -> None:
    """Samples as they come: a JSON object or a CSV row a line."""
    head = True
    for fresh in _course(read, window):
        if form is Shape.CSV:
            output.csv(_columns(), map(_values, fresh.samples), head=head)
        for one in fresh.samples if form is Shape.JSON else ():
            output.json_line(one)
        head = False


def _course(read: "Reader", window: "Window") -> Iterator["Trace"]:
    """What there is, then each second what came since, until no more comes."""
    from agentcg.errors import LimitError

    last = -math.inf
    known: set[tuple[float, int]] = set()
    while True:
        # Another of this session's processes may be asking: then a second later.
        with contextlib.suppress(LimitError):
            found = read(window)
            samples = tuple(one for one in found.samples if one.clock > last)
            events = tuple(one for one in found.events if (one.at, one.seq) not in known)
            yield replace(found, samples=samples, events=events)
            if _over(found):
                return
            known |= {(one.at, one.seq) for one in events}
            if samples:
                last = samples[-1].clock
                # A little earlier: samples are recorded late. By now, if the clock was put back.
                window = replace(window, since=min(samples[-1].at, time.time()) - EVERY)
        time.sleep(EVERY)


def _over(found: "Trace") -> bool:
    """Whether nothing more comes."""
    from agentcg.model.call import CallState
    from agentcg.model.event import Kind

    if found.call is not None:
        return found.call.state is CallState.CLOSED
    ends = [
        one.kind for one in found.events if one.kind in (Kind.SESSION_OPENED, Kind.SESSION_CLOSED)
    ]
    return ends[-1:] == [Kind.SESSION_CLOSED]


def _page(found: "Trace") -> "Sequence[Text]":
    from agentcg.cli import course, plot

    out = output.console()
    width = min(out.width, MOST_WIDE if out.is_terminal else USUAL)
    return course.page(found, width=width, glyphs=plot.glyphs_of(sys.stdout.encoding))


def _columns() -> list[str]:
    from agentcg.model.sample import Usage

    return ["at", "clock", "full", *(field.name for field in fields(Usage))]


def _values(one: "Sample") -> list[object]:
    return [f"{one.at:.3f}", f"{one.clock:.3f}", int(one.full), *astuple(one.usage)]


def _row(one: "KindStats") -> Sequence[str]:
    of = one.used_of_limit
    shares = NONE if of.p50 is None or of.p90 is None else f"{of.p50:.0%} {of.p90:.0%}"
    return (
        one.kind,
        str(one.calls),
        str(one.failed),
        str(one.oom),
        *(size(value) for value in _three(one.peak)),
        *(span(value) for value in (one.wall.p50, one.wall.p90)),
        shares,
    )


def _three(spread: "Spread") -> "tuple[float | None, float | None, float | None]":
    return spread.p50, spread.p90, spread.most


def _flat(found: "Sequence[KindStats]") -> tuple[list[str], list[list[object]]]:
    """One row a class, with columns such as peak_p50."""
    from agentcg.model.trace import KindStats, Spread

    names: list[str] = []
    for field in fields(KindStats):
        inner = [f.name for f in fields(Spread)] if field.name in _SPREADS else []
        names += [f"{field.name}_{name}" for name in inner] or [field.name]
    rows: list[list[object]] = []
    for one in found:
        rows.append([])
        for value in asdict(one).values():
            rows[-1] += value.values() if isinstance(value, dict) else [value]
    return names, rows
