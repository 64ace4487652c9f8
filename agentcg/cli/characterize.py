"""`agentcg characterize`: what the work of a fleet looks like, from what was recorded."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agentcg.cli import output, past, pieces
from agentcg.cli.output import Sheet
from agentcg.cli.render import NONE, size, span
from agentcg.errors import NotFoundError

if TYPE_CHECKING:
    from agentcg.client import Client
    from agentcg.model.character import ClassFigures, Fleet, TaskFigures
    from agentcg.model.ids import SessionId
    from agentcg.model.sample import Sample
    from agentcg.model.trace import Spread

T = TypeVar("T")

# How long before that time a call may have been declared, to be seen that it was open in it.
_EARLIER = 86400.0
_FLEET = ("", "COUNT", "P50", "P90", "P99", "MOST")
_CLASSES = ("CLASS", "CALLS", "OF TIME", "TIME P50", "P90", "MOST", "PEAK P50", "P90", "MOST")
_TASKS = ("SESSION", "TIME", "IN CALLS", "CALLS", "MEAN", "PEAK", "RATIO", "BURSTS", "RETRIES")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(characterize)


def characterize(
    *,
    since: Annotated[str, typer.Option(help="What was recorded so long ago at most.")] = "1d",
    session: Annotated[str | None, typer.Option(help="This session alone.")] = None,
    burst: Annotated[
        str, typer.Option(help="The height of a burst: memory of a session above it.")
    ] = "300MiB",
    form: Annotated[
        Sheet, typer.Option("-o", "--output", help="Tables, JSON or CSV.")
    ] = Sheet.TABLE,
) -> None:
    """Show where time goes and how memory moves: in tasks, in bursts, by class, in retries.

    A task is a session in that time. A retry group is three calls or more of one class in a row.
    """
    from agentcg import units
    from agentcg.cli.link import client
    from agentcg.policy import character

    height = units.parse_bytes(burst)
    begin = time.time() - units.parse_duration(since)
    with client() as daemon:
        # These first: a call that closes meanwhile is in both then, and not in neither.
        opened = [view.call for view in daemon.calls()]
        closed = past.accounts(daemon, begin - _EARLIER, past.EVER, session)
        if len(closed) >= past.MOST:
            output.note(
                f"more than {past.MOST} calls: the oldest are left out; name a shorter time"
            )
        over = {one.call for one in closed}
        calls = [one for one in closed if one.declared_at >= begin]
        mine = _by_session((one.session, one) for one in calls)
        others = _by_session(
            [(one.session, character.open_time(one)) for one in closed if one.declared_at < begin]
            + [(one.session, (one.declared_at, past.EVER)) for one in opened if one.id not in over]
        )
        tasks = [
            character.task(name, samples, mine[name], others=others[name], burst=height)
            for name, samples in _courses(daemon, begin, session)
        ]
    found = character.fleet(tasks, calls)
    match form:
        case Sheet.JSON:
            output.json(found)
        case Sheet.CSV:
            output.csv(("table", "name", "figure", "value"), _flat(found))
        case Sheet.TABLE:
            _print(found)


def _by_session(pairs: "Iterable[tuple[SessionId, T]]") -> "defaultdict[SessionId, list[T]]":
    found: defaultdict[SessionId, list[T]] = defaultdict(list)
    for name, one in pairs:
        found[name].append(one)
    return found


def _courses(
    daemon: "Client", begin: float, session: str | None
) -> "Iterator[tuple[SessionId, Sequence[Sample]]]":
    """The samples of all sessions, or of one, of which there still are any."""
    for one in past.sessions(daemon, begin, past.EVER, session):
        read = partial(daemon.session_trace, one.session)
        try:
            # What comes while it is read is of the next time.
            found = pieces.course(read, one.since, one.until)
        except NotFoundError:
            output.note(f"session {one.session}: its samples are not remembered any more; left out")
            continue
        if not found.whole:
            output.note(f"session {one.session}: {pieces.LEFT_OUT}")
        yield one.session, found.samples


def _print(found: "Fleet") -> None:
    if not found.tasks and not found.classes:
        output.line("nothing was recorded in that time")
        return
    output.line(
        f"In calls {_share(found.in_calls)} of the time, {_share(found.cpu_of_calls)} of the CPU "
        f"time and {_share(found.burst_in_calls)} of the time in bursts."
    )
    bursts = found.tasks_with_bursts if found.mean.count else NONE
    output.line(
        f"Of {len(found.tasks)} tasks {bursts} have bursts and "
        f"{found.tasks_with_retries} retry groups, which took {_share(found.retried)} of the time "
        f"in calls; memory moved faster than 100 MiB/s in {_share(found.fast)} of the time."
    )
    rows = [
        ("time of a task", *_times(found.task_seconds)),
        ("mean memory of a task", *_sizes(found.mean)),
        ("peak of a task", *_sizes(found.peak)),
        ("peak to mean", *_plain(found.peak_to_mean, "x")),
        ("length of a burst", *_times(found.burst)),
        ("fastest rise, a second", *_sizes(found.rise)),
        ("fastest fall, a second", *_sizes(found.fall)),
        ("calls of a retry group", *_plain(found.retry_group, "")),
    ]
    _table(_FLEET, rows)
    _table(_CLASSES, [_of_class(one) for one in found.classes])
    _table(_TASKS, [_of_task(one) for one in found.tasks])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    output.line("")
    output.table(columns, rows, right=range(1, len(columns)))


def _of_class(one: "ClassFigures") -> Sequence[str]:
    wall, peak = one.wall, one.peak
    return (
        one.kind,
        str(one.calls),
        _share(one.share),
        *(span(value) for value in (wall.p50, wall.p90, wall.most)),
        *(size(value) for value in (peak.p50, peak.p90, peak.most)),
    )


def _of_task(one: "TaskFigures") -> Sequence[str]:
    ratio = one.peak / one.mean if one.peak and one.mean else None
    return (
        one.session,
        span(one.seconds),
        _share(one.in_calls / one.seconds if one.seconds else None),
        str(one.calls),
        size(one.mean),
        size(one.peak),
        NONE if ratio is None else f"{ratio:.1f}x",
        NONE if one.mean is None else str(len(one.bursts)),
        str(len(one.retries)),
    )


def _times(one: "Spread") -> Sequence[str]:
    return str(one.count), *(span(value) for value in _quantiles(one))


def _sizes(one: "Spread") -> Sequence[str]:
    return str(one.count), *(size(value) for value in _quantiles(one))


def _plain(one: "Spread", unit: str) -> Sequence[str]:
    shown = (NONE if value is None else f"{value:.3g}{unit}" for value in _quantiles(one))
    return str(one.count), *shown


def _quantiles(one: "Spread") -> "tuple[float | None, ...]":
    return one.p50, one.p90, one.p99, one.most


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def _flat(found: "Fleet") -> Iterator[Sequence[object]]:
    """All figures in one sheet, one a row: fleet, classes and tasks have different ones."""
    whole = asdict(found)
    for table, key in (("class", "kind"), ("task", "session")):
        for one in whole.pop("classes" if table == "class" else "tasks"):
            for figure, value in _leaves(one):
                if figure != key:
                    yield table, one[key], figure, value
    for figure, value in _leaves(whole):
        yield "fleet", "", figure, value


def _leaves(figures: dict[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{name}_{inner}", one) for inner, one in value.items())
        elif isinstance(value, tuple):
            yield name, " ".join(str(one) for one in value)
        else:
            yield name, value
