"""`agentcg metrics`: what Prometheus reads, for a host where nothing may listen on TCP."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(metrics)


def metrics(
    file: Annotated[
        Path, typer.Option("-o", "--output", help="A file, which appears complete; - is stdout.")
    ] = Path("-"),
) -> None:
    """Print the daemon's metrics in Prometheus' text format, as for node_exporter's textfiles."""
    from agentcg.cli.link import client
    from agentcg.cli.saving import saved

    with client() as daemon:
        text = daemon.metrics()
    with saved(file, mode=0o644) as out:
        out.write(text.encode())
