"""`agentcg events`: what happened, and what happens."""

from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli import output
from agentcg.cli.output import Sheet, SheetOption

if TYPE_CHECKING:
    from agentcg.model.event import Event

# The daemon does not say where the past ends; what it remembers comes without a pause.
_PAUSE = 1.0
_FLAT = ("seq", "at", "kind", "session", "call", "text", "data")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(events)


def events(
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for new events.")] = False,
    after: Annotated[
        int | None, typer.Option(min=0, help="Begin behind this event; 0 is the first.")
    ] = None,
    form: SheetOption = Sheet.TABLE,
) -> None:
    """Print remembered events, or with -f new ones as they come."""
    from agentcg.cli.link import client
    from agentcg.client.wire import SILENCE
    from agentcg.errors import UnavailableError

    begin = after if follow or after is not None else 0
    heard = False
    with client() as daemon:
        if not follow:
            daemon.health()  # a daemon that is away must not look like one without a past
        if form is Sheet.CSV:
            output.csv(_FLAT, ())
        try:
            for event in daemon.events(begin, silence=SILENCE if follow else _PAUSE):
                heard = True
                _print(event, form)
        except UnavailableError:
            if follow:
                raise
    if not heard and form is Sheet.TABLE:
        output.line("no events are remembered")


def _print(event: "Event", form: Sheet) -> None:
    match form:
        case Sheet.JSON:
            output.json_line(event)
        case Sheet.CSV:
            output.csv(_FLAT, [_flat(event)], head=False)
        case Sheet.TABLE:
            output.line(_line(event))


def _flat(event: "Event") -> list[object]:
    import json

    kind, data = event.kind.value, json.dumps(dict(event.data)) if event.data else None
    return [event.seq, event.at, kind, event.session, event.call, event.text, data]


def _line(event: "Event") -> str:
    import datetime

    when = datetime.datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S")
    where = "/".join(part for part in (event.session, event.call) if part)
    data = " ".join(f"{key}={value}" for key, value in event.data.items())
    words = (when, f"{event.kind.value:<15}", where, event.text, data)
    return " ".join(word for word in words if word)
