"""`agentcg ui`: a link into the web view."""

import typer

from agentcg.cli import output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ui)


def ui() -> None:
    """Print a link that opens the web view (the setting web.enabled), once and within a minute."""
    from agentcg.cli.link import client
    from agentcg.cli.render import span

    with client() as daemon:
        link = daemon.ui_link()
    output.line(link.url)
    output.note(f"it opens once, within {span(link.seconds)}; print another for another browser")
