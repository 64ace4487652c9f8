"""The command `agentcg replay`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli.errors import INTERRUPTED

if TYPE_CHECKING:
    from agentcg.cli.replay.past import Past

_AROUND = 1800.0  # seconds, where the daemon is asked for a moment
_LATELY = 3600.0
_TOLD = 1.0  # seconds: no time is told more exactly


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    file: Annotated[
        Path | None, typer.Argument(help="A file of `agentcg record`; else what the daemon has.")
    ] = None,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            help="Begin so long ago, in a file so long before its end, such as 10m; or at a time: "
            "2026-11-22T09:30."
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.125, max=512, help="So many seconds of it in one.")
    ] = 1.0,
) -> None:
    """Show what was recorded on the screen of `agentcg top`.

    Left and Right go 5 seconds back and on, with Shift a minute; Space holds it, + and - change its
    speed, Enter goes in and Esc out, ? helps.

    Without a file it is the last hour of the daemon's store, or half an hour around --at.
    """
    import time

    from agentcg.cli.replay.player import Player
    from agentcg.cli.times import moment
    from agentcg.cli.top import loop, terminal

    terminal.check("replay", "`agentcg record` makes a file that `zcat` prints anywhere")
    if file is None:
        name, now = "the store", time.time()
        begin = None if at is None else _within("the store", moment(at, now), 0.0, now)
        past = _stored(begin, now)
    else:
        name, past = file.name, _filed(file)
        since, until = past.head.since, past.head.until
        begin = None if at is None else _within(name, moment(at, until), since, until)
    start = past.head.since if begin is None else begin
    if loop.run(partial(Player, past, name, start, speed)):
        raise typer.Exit(INTERRUPTED)


def _within(name: str, at: float, since: float, until: float) -> float:
    from agentcg.cli.times import told
    from agentcg.errors import BadValueError

    if at > until:
        raise BadValueError(f"--at {told(at)}: {name} ends at {told(until)}; name a time before")
    if at < since - _TOLD:
        raise BadValueError(f"--at {told(at)}: {name} begins at {told(since)}; name a time after")
    return at


def _filed(path: Path) -> "Past":
    from agentcg.cli.recording import lines
    from agentcg.cli.replay.past import load
    from agentcg.errors import BadValueError

    try:
        with path.open("rb") as file:
            return load(str(path), lines.read(str(path), file))
    except OSError as error:
        raise BadValueError(
            f"{path}: {error.strerror or error}; name a file of `agentcg record`"
        ) from error


def _stored(at: float | None, now: float) -> "Past":
    from agentcg.cli.link import client
    from agentcg.cli.output import note
    from agentcg.cli.recording import gather
    from agentcg.cli.replay.past import load

    since, until = (now - _LATELY, now) if at is None else (at - _AROUND, min(now, at + _AROUND))
    with client() as daemon:
        return load("the store", gather.records(daemon, since, until, note))
