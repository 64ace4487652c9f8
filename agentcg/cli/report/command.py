"""The command line of `agentcg report`."""

import datetime
import math
import re
from typing import Annotated

import typer

from agentcg.cli import output

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
TODAY = "today"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SESSION|DAY", help="A session's id, a day as 2026-11-22, or today."
        ),
    ],
    *,
    target: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help='The file; "-" is stdout. agentcg-SESSION.html if unsaid.'
        ),
    ] = None,
) -> None:
    """Write what was recorded of a session, or of all on a day, as one HTML file with plots.

    Days are those of the local clock, and a day's calls those declared in it. What reads as a day
    is one, though a session have that name.
    """
    from agentcg.cli import files
    from agentcg.cli.link import client
    from agentcg.cli.report import gather
    from agentcg.cli.report.page import page

    days = bounds(what)
    with client() as daemon:
        made = gather.of_session(daemon, what) if days is None else gather.of_day(daemon, *days)
    name = target or f"agentcg-{made.title.partition(' ')[2]}.html"
    files.write(name, page(made))
    if target is None:
        output.line(name)


def bounds(what: str) -> tuple[str, float, float] | None:
    """A day's name, begin and end; None where none is meant.

    Raises:
        BadValueError: there is no such day.
    """
    from agentcg.errors import BadValueError

    if what == TODAY:
        day = datetime.datetime.now().astimezone().date()
    elif _DAY.fullmatch(what):
        try:
            day = datetime.date.fromisoformat(what)
        except ValueError as e:
            raise BadValueError(f"{what}: there is no such day; write it as 2026-11-22") from e
    else:
        return None
    try:
        # A day may have 23 or 25 hours.
        since, until = (_midnight(day + datetime.timedelta(days=n)) for n in (0, 1))
    except (OverflowError, ValueError, OSError) as e:
        raise BadValueError(f"{what}: is beyond the calendar; name a day since 1970") from e
    if since < 0:
        raise BadValueError(f"{what}: nothing was recorded before 1970; name a later day")
    # The next day has its midnight.
    return day.isoformat(), since, math.nextafter(until, 0.0)


def _midnight(day: datetime.date) -> float:
    return datetime.datetime.combine(day, datetime.time()).astimezone().timestamp()
