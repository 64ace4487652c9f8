"""Commands that work without a daemon: doctor, config check, completion."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli import output
from agentcg.cli.output import Sheet, SheetOption

if TYPE_CHECKING:
    from agentcg.model.view import Check

_CGROUP = Path("/sys/fs/cgroup")


class Shell(StrEnum):
    """Shells with completion."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(doctor)
    app.command()(completion)
    config = typer.Typer(help="The daemon's configuration file.", no_args_is_help=True)
    config.command(name="check")(config_check)
    # A command of its own keeps `config` a group with one member.
    config.callback()(lambda: None)
    app.add_typer(config, name="config")


def doctor(
    cgroup: Annotated[
        Path, typer.Option(help="Without a daemon: the cgroup to try things below.")
    ] = _CGROUP,
    form: SheetOption = Sheet.TABLE,
) -> None:
    """Show which mechanisms work on this host, and why others do not."""
    source, checks = _checks(cgroup)
    if form is Sheet.JSON:
        output.json({"source": source, "mechanisms": checks})
        return
    if form is Sheet.CSV:
        flat = ((check.name, int(check.works), check.detail) for check in checks)
        output.csv(("mechanism", "works", "detail"), flat)
        output.note(source)
        return
    for line in source.splitlines():
        output.line(line)
    rows = [(check.name, "yes" if check.works else "NO", check.detail) for check in checks]
    output.table(("MECHANISM", "WORKS", "DETAIL"), rows, wrap=True)


def config_check(
    file: Annotated[Path | None, typer.Argument(help="The file; by default the daemon's.")] = None,
) -> None:
    """Check a configuration file without applying it; errors name file and line."""
    from agentcg import settings

    path = file or settings.DEFAULT_PATH
    settings.load(path)
    output.line(f"{path}: good" if path.exists() else f"{path}: not there, defaults hold")


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print the completion script for a shell, to be sourced by its start-up file."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(
        get_completion_script(
            prog_name="agentcg", complete_var="_AGENTCG_COMPLETE", shell=shell.value
        )
    )


def _checks(cgroup: Path) -> tuple[str, Sequence["Check"]]:
    from agentcg.cli.link import client
    from agentcg.errors import UnavailableError

    try:
        with client() as daemon:
            host = daemon.host()
    except UnavailableError as error:
        return f"{error.message}\nTried by this process:", _probed(cgroup)
    return f"agentcg {host.version} on Linux {host.kernel}, tier {host.tier}", host.mechanisms


def _probed(cgroup: Path) -> Sequence["Check"]:
    from agentcg.kernel.probe import probe
    from agentcg.model.view import Check

    found = probe(cgroup).mechanisms
    return [Check(one.name, one.works, one.detail) for one in found.values()]
