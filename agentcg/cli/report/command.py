"""The command line of `agentcg report`."""

from pathlib import Path
from typing import Annotated

import typer

from agentcg.cli import output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SESSION|DAY",
            help="A session's id, a day as 2026-11-22, or today; session:ID is never a day.",
        ),
    ],
    *,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help='The file; "-" is stdout. agentcg-SESSION.html if unsaid.'
        ),
    ] = None,
) -> None:
    """Write what was recorded of a session, or of all on a day, as one HTML file with plots.

    Days are those of the local clock, and a day's calls those declared in it.
    """
    from agentcg.cli.link import client
    from agentcg.cli.report import gather
    from agentcg.cli.report.page import page
    from agentcg.cli.saving import saved
    from agentcg.cli.times import SESSION, day

    days = day(what)
    with client() as daemon:
        if days is None:
            made = gather.of_session(daemon, what.removeprefix(SESSION))
        else:
            made = gather.of_day(daemon, *days)
    name = target or Path(f"agentcg-{made.title.partition(' ')[2]}.html")
    with saved(name, named=target is not None) as file:
        file.write(page(made))
    if target is None:
        output.line(str(name))
