"""The command `agentcg top`."""

from functools import partial
from typing import Annotated

import typer

from agentcg.cli.errors import INTERRUPTED


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(top)


def top(
    every: Annotated[
        float,
        typer.Option(
            "-d",
            "--every",
            min=0.2,
            max=60,
            help="Seconds between two readings; 0.2 at 500 calls takes a fifth of a CPU.",
        ),
    ] = 1.0,
) -> None:
    """Watch sessions and calls on a full screen: what they use, and what befell them.

    Enter goes into a session and a call, Esc out, Tab shows all calls, s sorts, / filters, ? helps.
    """
    from agentcg.cli.link import client
    from agentcg.cli.top import loop, terminal
    from agentcg.cli.top.board import Board
    from agentcg.cli.top.feed import Feed

    terminal.check("top", "`agentcg ps` lists calls anywhere")
    with client() as daemon:
        daemon.host()  # what is refused from the start is said where it stays to be read
    if loop.run(partial(Feed, Board(every), every)):
        raise typer.Exit(INTERRUPTED)
