"""`agentcg docker`: have dockerd make every `docker exec` a call, or take that back.

Only dockerd's own file is edited, beside what is there. dockerd reads the runtimes in it again on
SIGHUP, without a restart.
"""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from agentcg.cli import output
from agentcg.errors import AgentcgError, ConflictError, UnavailableError, UnsupportedError

Doc = dict[str, Any]
NAME = "agentcg"
FILE = Path("/etc/docker/daemon.json")
SHIM = Path("/usr/local/lib/agentcg/acg-runc")
# Read by the client, which believes it of root alone.
REAL = Path("/etc/agentcg/runtime")
PID_FILE = Path("/run/docker.pid")
_RELOAD = "dockerd has to read it again: systemctl reload docker, or say --reload"
_PATH = "/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"  # where acg runc looks

File = Annotated[Path, typer.Option(help="dockerd's configuration file.")]
Reload = Annotated[bool, typer.Option("--reload", help="Have dockerd read it (SIGHUP).")]
Default = Annotated[
    bool, typer.Option("--default", help="For containers that name no runtime, too.")
]
Real = Annotated[Path | None, typer.Option(help="The runtime behind it, if not runc of the host.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    docker = typer.Typer(
        help="A call for every docker exec (docker run --runtime=agentcg).", no_args_is_help=True
    )
    docker.command()(enable)
    docker.command()(disable)
    docker.command()(status)
    app.add_typer(docker, name="docker")


def enable(
    *, default: Default = False, reload: Reload = False, real: Real = None, file: File = FILE
) -> None:
    """Name the runtime to dockerd; again: renew it."""
    from agentcg.cli.settings_file import edit

    _need(real)
    file.parent.mkdir(parents=True, exist_ok=True)
    done = edit(file.parent, file.name, lambda doc: enabled(doc, str(SHIM), default=default))
    if real is not None:
        REAL.parent.mkdir(parents=True, exist_ok=True)
        fresh = REAL.with_suffix(".new")
        fresh.write_text(f"{real}\n")
        fresh.chmod(0o644)
        fresh.replace(REAL)
    _told(file, done=done, reload=reload)


def disable(*, reload: Reload = False, file: File = FILE) -> None:
    """Take the runtime back; containers that were made with it run on, but do not start again."""
    from agentcg.cli.settings_file import edit, read

    known = read(file.parent, file.name) is not None if file.parent.is_dir() else False
    done = known and edit(file.parent, file.name, disabled)
    _told(file, done=done, reload=reload)


def status(*, file: File = FILE) -> None:
    """Show what dockerd was told and what it knows; exit code 1 if it was told nothing."""
    found = configured(file)
    output.line(f"{file}: {f'runtime {NAME} is {found}' if found else f'no runtime {NAME}'}")
    if found:
        there = os.access(found, os.X_OK)
        output.line(f"{found}: {'there' if there else 'not there, run `agentcg install`'}")
    output.line(f"dockerd: {_known()}")
    if not found:
        raise typer.Exit(1)


def configured(file: Path = FILE) -> str | None:
    """The path that dockerd's file has for our runtime."""
    from agentcg.cli.settings_file import read

    doc = read(file.parent, file.name) if file.parent.is_dir() else None
    ours = None if doc is None else _runtimes(doc).get(NAME)
    path = ours.get("path") if isinstance(ours, dict) else None
    return path if isinstance(path, str) else None


def enabled(doc: Doc, shim: str, *, default: bool = False) -> Doc:
    """Dockerd's configuration with our runtime.

    Raises:
        ConflictError: there is something else in its place.
    """
    other = doc.get("default-runtime", NAME)
    if default and other not in (NAME, "runc"):
        raise ConflictError(
            f"default-runtime is {json.dumps(other)} already: take that out first, and name its "
            f"program by --real if it is to stand behind ours"
        )
    made = doc | {"runtimes": _runtimes(doc) | {NAME: {"path": shim}}}
    return made | {"default-runtime": NAME} if default else made


def disabled(doc: Doc) -> Doc:
    """Dockerd's configuration without our runtime."""
    rest = {name: what for name, what in _runtimes(doc).items() if name != NAME}
    made = doc | {"runtimes": rest}  # in its old place
    if not rest:
        del made["runtimes"]
    if made.get("default-runtime") == NAME:
        del made["default-runtime"]
    return made


def _runtimes(doc: Doc) -> Doc:
    found = doc.get("runtimes", {})
    if not isinstance(found, dict):
        raise ConflictError("runtimes: is no JSON object, so dockerd does not read it; mend it")
    return found


def _need(real: Path | None) -> None:
    if not os.access(SHIM, os.X_OK):
        raise UnsupportedError(f"{SHIM}: not there; run `agentcg install` first")
    found = shutil.which("runc", path=_PATH) if real is None else real
    if found is None:
        raise UnsupportedError(f"no runc in {_PATH}: name the runtime by --real PATH")
    if not Path(found).is_absolute() or not os.access(found, os.X_OK):
        raise UnsupportedError(f"--real {found}: no program by that absolute path")
    if Path(found).samefile(SHIM):
        raise ConflictError(f"--real {found}: is this runtime itself")


def _told(file: Path, *, done: bool, reload: bool) -> None:
    output.line(f"{'wrote' if done else 'nothing to change in'} {file}")
    if reload:
        _reload()
        output.line("dockerd was told to read it")
    elif done:
        output.line(_RELOAD)


def _reload() -> None:
    try:
        pid = int(PID_FILE.read_text())
        if Path(f"/proc/{pid}/comm").read_text() != "dockerd\n":
            raise UnavailableError(f"{PID_FILE}: names no dockerd; it reads the file at its start")
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError) as e:
        raise UnavailableError(f"{PID_FILE}: {e}; dockerd reads the file when it starts") from e


def _known() -> str:
    from agentcg.sandbox.docker import Engine
    from agentcg.settings import Docker

    try:
        knows = NAME in Engine(Docker().socket).runtimes()
    except AgentcgError as e:
        return e.message
    return "knows it" if knows else "does not know it (systemctl reload docker)"
