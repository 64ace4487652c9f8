"""`agentcg hooks`: make a harness tell the daemon of its calls, see whether it does, undo it."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentcg.cli import output
from agentcg.errors import BadValueError, UnsupportedError

_SHARED = Path("/run/agentcg/agent/acg")


class Harness(StrEnum):
    """Harnesses with hooks."""

    CLAUDE_CODE = "claude-code"
    CODEX = "codex"
    GEMINI = "gemini"
    OPENCODE = "opencode"
    OPENHANDS = "openhands"


HarnessArgument = Annotated[Harness, typer.Argument(help="Whose hooks.")]
Managed = Annotated[bool, typer.Option("--managed", help="The file that holds for everybody.")]
File = Annotated[Path | None, typer.Option(help="This settings file, such as one of a project.")]
Home = Annotated[
    Path | None, typer.Option(help="The home of whose user it is for; root may name another's.")
]
Client = Annotated[
    Path | None, typer.Option("--acg", help="The client as the harness will find it.")
]


@dataclass(frozen=True, slots=True)
class _Place:
    """A settings file: a folder that is trusted, and a path below it that is not."""

    base: Path
    name: str

    @property
    def path(self) -> Path:
        return self.base / self.name


def register(app: typer.Typer) -> None:
    """Add the commands."""
    hooks = typer.Typer(help="What harnesses tell of their calls (acg hook).", no_args_is_help=True)
    hooks.command()(install)
    hooks.command()(status)
    hooks.command()(uninstall)
    app.add_typer(hooks, name="hooks")


def install(
    harness: HarnessArgument,
    *,
    managed: Managed = False,
    file: File = None,
    home: Home = None,
    acg: Client = None,
) -> None:
    """Put our hooks into a harness's settings, beside what is there; again: renew them."""
    from agentcg.cli.settings_file import edit
    from agentcg.harness.wiring import WIRINGS, wired

    place, client = _place(harness, managed=managed, file=file, home=home), _client(acg)
    if WIRINGS[harness].prefix or WIRINGS[harness].plugin:
        _need_shell(client)
    done = edit(place.base, place.name, lambda doc: wired(doc, harness, str(client)))
    output.line(f"{'wrote' if done else 'nothing to change in'} {place.path}")


def status(
    harness: HarnessArgument, *, managed: Managed = False, file: File = None, home: Home = None
) -> None:
    """Show whether a harness's settings have our hooks; exit code 1 if not."""
    from agentcg.cli.settings_file import read
    from agentcg.harness.wiring import is_wired

    place = _place(harness, managed=managed, file=file, home=home)
    doc = read(place.base, place.name)
    installed = doc is not None and is_wired(doc, harness)
    output.line(f"{place.path}: {'hooks installed' if installed else 'no hooks of ours'}")
    if not installed:
        raise typer.Exit(1)


def uninstall(
    harness: HarnessArgument, *, managed: Managed = False, file: File = None, home: Home = None
) -> None:
    """Take our hooks out of a harness's settings again, and nothing else."""
    from agentcg.cli.settings_file import edit, read
    from agentcg.harness.wiring import unwired

    place = _place(harness, managed=managed, file=file, home=home)
    known = read(place.base, place.name) is not None
    done = known and edit(place.base, place.name, lambda doc: unwired(doc, harness))
    output.line(f"{'wrote' if done else 'nothing to change in'} {place.path}")


def _place(harness: Harness, *, managed: bool, file: Path | None, home: Path | None) -> _Place:
    from agentcg.harness.wiring import WIRINGS

    how = WIRINGS[harness]
    if sum((managed, file is not None, home is not None)) > 1:
        raise BadValueError("--managed, --file, --home: give one of them")
    if managed:
        if how.managed is None:
            raise UnsupportedError(
                f"{harness.value}: no file of JSON holds for everybody; use --file or --home"
            )
        return _Place(Path("/"), how.managed.lstrip("/"))
    if file is not None:
        return _Place(file.absolute().parent, file.name)
    return _Place(home or (Path.cwd() if how.in_project else Path.home()), how.user)


def _client(named: Path | None) -> Path:
    """The client for hooks: what containers mount, else the one of this installation."""
    from agentcg.native import acg

    if named is not None and (not named.is_absolute() or named.name != "acg"):
        raise BadValueError(f"--acg {str(named)[:80]!r}: name the client, by its whole path")
    return named or (_SHARED if os.access(_SHARED, os.X_OK) else acg())


def _need_shell(client: Path) -> None:
    """Without it no command of the harness would run any more."""
    shell = client.with_name("acg-shell")
    if client.exists() and not shell.exists():
        raise UnsupportedError(
            f"{shell}: not there, and each command would be run by it; `agentcg install` makes it, "
            f"or: ln -s acg {shell}"
        )
