"""Commands that change this host: install and uninstall."""

from typing import Annotated

import typer

from agentcg.cli import output


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(install)
    app.command()(uninstall)


def install(
    *,
    enable: Annotated[bool, typer.Option(help="Start it now and at every boot.")] = False,
) -> None:
    """Install units, client and configuration for systemd; run it again to upgrade."""
    from agentcg.cli import install as files

    for path in files.put(files.Where()):
        output.line(f"wrote {path}")
    files.start(enable=enable)
    output.line(
        "running: `agentcg doctor` tells what works here"
        if enable
        else "start it with: systemctl enable --now agentcg.service"
    )


def uninstall() -> None:
    """Stop the daemon and remove what install wrote; configuration and journal stay."""
    from agentcg.cli import install as files

    files.remove(files.Where())
    output.line("removed; /etc/agentcg and /var/lib/agentcg are still there")
