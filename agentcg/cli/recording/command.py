"""The command `agentcg record`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from agentcg.cli.output import note


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(record)


def record(
    *,
    target: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file, or - for stdout; a name with the time."),
    ] = None,
    since: Annotated[str, typer.Option(help="Begin so long ago: 90s, 10m, 2h; or a time.")] = "1h",
    until: Annotated[
        str, typer.Option(help="End so long ago; or a time such as 2026-11-22T09:30.")
    ] = "0s",
) -> None:
    """Write what was recorded of a time into one file: sessions, calls, samples and events.

    It is JSON lines in gzip, and for the administrator alone: it has every command in it.
    """
    from agentcg.cli.link import client
    from agentcg.cli.recording import gather, lines
    from agentcg.cli.saving import STDOUT, saved
    from agentcg.cli.times import moment
    from agentcg.errors import BadValueError
    from agentcg.model.trace import Window

    now = time.time()
    begin, end = moment(since, now), moment(until, now)
    if begin >= end:
        raise BadValueError(f"--since {since} --until {until}: ends before it begins; swap them")
    usual = time.strftime("agentcg-%Y%m%d-%H%M%S.jsonl.gz", time.localtime(end))
    path = target or Path(usual)
    with client() as daemon:
        # What is refused makes no file: to whom, and where nothing is recorded.
        daemon.lived(Window(begin, end, 1))
        daemon.recorded(Window(begin, end, 1))
        with saved(path, named=target is not None, binary=True) as file:
            lines.write(gather.records(daemon, begin, end, note), file)
    if path != STDOUT:
        note(f"{path}: written")
