"""Commands that change this host: install and uninstall."""

from typing import Annotated

import typer

from agentcg.cli import docker, output
from agentcg.errors import ConflictError, UnavailableError
from agentcg.model.session import Runtime


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


def uninstall(
    *,
    force: Annotated[bool, typer.Option(help="Even if that ends the agents of sessions.")] = False,
) -> None:
    """Stop the daemon and remove what install wrote; configuration and journal stay."""
    from agentcg.cli import install as files

    # Their cgroups are below the keeper, and what stops the keeper kills what is in them.
    ending = [] if force else _bare_sessions()
    if ending:
        raise ConflictError(
            f"{', '.join(ending)}: the agents of these sessions would be killed; close them first "
            f"(agentcg close ID), or say --force"
        )
    if not force and docker.configured() is not None:
        raise ConflictError(
            f"{docker.FILE}: containers have its runtime {docker.NAME}, which would be gone; "
            f"`agentcg docker disable` and remove them first, or say --force"
        )
    files.remove(files.Where())
    output.line("removed; /etc/agentcg and /var/lib/agentcg are still there")


def _bare_sessions() -> list[str]:
    from agentcg.cli.link import client

    try:
        with client() as daemon:
            views = daemon.sessions()
    except UnavailableError:  # a daemon that is down is no reason to keep it
        return []
    return [view.session.id for view in views if view.session.runtime is Runtime.BARE]
