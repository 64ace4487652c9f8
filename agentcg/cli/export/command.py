"""The command line of `agentcg export`."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from agentcg.cli.errors import FAILED
from agentcg.cli.output import note

if TYPE_CHECKING:
    from agentcg.cli.export.gather import Gatherer
    from agentcg.cli.export.items import Item

# A clock that was put back has recorded what is to come.
_EVER = 1e11


class Shape(StrEnum):
    """What an export is written as."""

    PERFETTO = "perfetto"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    what: Annotated[
        str,
        typer.Argument(
            help="A session's id, a call's id or its beginning, a day as 2026-11-22, or today; "
            "session:ID is never a day or a call."
        ),
    ],
    *,
    form: Annotated[
        Shape,
        typer.Option("--format", help="perfetto opens in ui.perfetto.dev; csv: a row a sample."),
    ] = Shape.PERFETTO,
    file: Annotated[Path, typer.Option("-o", "--output", help="The file; - is stdout.")] = Path(
        "-"
    ),
) -> None:
    """Write all that was recorded of a session, a call or a day, open or closed, to a file.

    Days are those of the local clock.
    """
    from agentcg.cli.export.flat import csv_lines, json_lines, parquet
    from agentcg.cli.export.gather import Gatherer
    from agentcg.cli.export.perfetto import Perfetto
    from agentcg.cli.link import client
    from agentcg.cli.saving import saved

    with client() as daemon:
        now = time.time()
        gatherer = Gatherer(daemon, 0.0, _EVER, now, note)
        items = _items(gatherer, what)
        with saved(file, binary=form is Shape.PARQUET) as out:
            match form:
                case Shape.PERFETTO:
                    _write(Perfetto().text(items), out)
                case Shape.JSONL:
                    _write(json_lines(items), out)
                case Shape.CSV:
                    _write(csv_lines(items), out)
                case Shape.PARQUET:
                    parquet(items, out)
    if gatherer.incomplete:
        raise typer.Exit(FAILED)


def _items(gatherer: "Gatherer", what: str) -> "Iterator[Item]":
    """What is meant: a day, an open session of that very id, a call, or a closed session."""
    from agentcg.cli.link import find
    from agentcg.cli.times import SESSION, day
    from agentcg.errors import NotFoundError
    from agentcg.model.trace import Window

    daemon = gatherer.daemon
    meant = day(what)
    if meant is not None:
        _, gatherer.since, gatherer.until = meant
        return gatherer.day()
    name = what.removeprefix(SESSION)
    if any(view.session.id == name for view in daemon.sessions()):
        return gatherer.session(name)
    if name == "self":
        return gatherer.session(daemon.session(name).session.id)
    if name == what:
        with suppress(NotFoundError):
            # However old: what is listed are the last ones.
            return gatherer.alone(daemon.call(what).call)
        with suppress(NotFoundError):
            return gatherer.alone(find(daemon, what).call)
    # A session that is closed, or nothing: the daemon says which.
    daemon.session_trace(name, Window(gatherer.since, gatherer.until))
    return gatherer.session(name)


def _write(parts: Iterable[str], out: IO[bytes]) -> None:
    for part in parts:
        # Half a character, as a command may have, must not end the export.
        out.write(part.encode("utf-8", "backslashreplace"))
