"""Commands about sessions: status, tree, open, close."""

import os
import shutil
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli import output
from agentcg.cli.output import Format, FormatOption, Sheet
from agentcg.cli.render import NONE, escape, size
from agentcg.model.session import Undeclared

if TYPE_CHECKING:
    from agentcg.model.view import SessionView

_COLUMNS = ("SESSION", "RUNTIME", "CALLS", "MEMORY", "LIMIT", "PRIORITY", "NAME")
_FLAT = (
    *("id", "name", "runtime", "container", "priority", "open_calls", "undeclared"),
    *("memory", "limit", "calls_limit", "agent_limit", "created_at"),
)

# Counters that should be 0, and what they count.
_TROUBLE = {
    "fail_opens": "commands ran without a call since the daemon started (agentcg events)",
    "observer_lost": "forks, execs and exits of agents were not looked at: too many at a time",
    "journal_failed_writes": "records could not be written: look at the disk and the log",
    "trace_samples_lost": "samples of traces were lost: look at the disk and the log",
}


class Runtime(StrEnum):
    """How a process of this host becomes a session."""

    BARE = "bare"
    SCOPE = "scope"
    SELF = "self"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(tree)
    app.command(name="open", context_settings={"allow_interspersed_args": False})(open_session)
    app.command()(close)


def status(
    form: Annotated[
        Sheet, typer.Option("-o", "--output", help="Tables; all as JSON; the sessions as CSV.")
    ] = Sheet.TABLE,
) -> None:
    """Show the host, what it can enforce, and the sessions."""
    from agentcg.cli.link import client

    with client() as daemon:
        host, views = daemon.host(), daemon.sessions()
    if form is Sheet.JSON:
        output.json({"host": host, "sessions": views})
        return
    if form is Sheet.CSV:
        output.csv(_FLAT, map(_flat, views))
        return
    output.line(f"agentcg {host.version} on Linux {host.kernel}, tier {host.tier}")
    output.line(f"{host.cpus} CPUs, {size(host.memory_total)} of memory")
    missing = [check.name for check in host.mechanisms if not check.works]
    if missing:
        output.line(f"not available here: {', '.join(missing)} (see agentcg doctor)")
    for name, what in _TROUBLE.items():
        if host.counters.get(name):
            output.line(f"{host.counters[name]} {what}")
    output.line("")
    output.table(_COLUMNS, [_row(view) for view in views], right=(2, 3, 4, 5))


def tree(form: FormatOption = Format.TABLE) -> None:
    """Show sessions and the calls in them."""
    from rich.text import Text
    from rich.tree import Tree

    from agentcg.cli.link import client

    with client() as daemon:
        sessions, calls = daemon.sessions(), daemon.calls()
    inside = {
        view.session.id: [call for call in calls if call.call.session == view.session.id]
        for view in sessions
    }
    if form is Format.JSON:
        output.json([{"session": v, "calls": inside[v.session.id]} for v in sessions])
        return
    for view in sessions:
        beside = f", {view.undeclared} commands outside calls" if view.undeclared else ""
        about = f"{view.session.id} {view.session.name} {size(view.memory)}{beside}"
        top = Tree(Text(escape(about)))
        for one in inside[view.session.id]:
            call, limit = one.call, size(one.call.grant.memory_limit)
            used = f"{size(one.usage.memory)} of {limit}"
            what = call.intent.command or call.intent.tool
            output.branch(top, f"{call.id} {call.state.value} {used} {what}")
        output.show(top)


def open_session(
    command: Annotated[
        list[str] | None, typer.Argument(help="Run this in the new session, behind --.")
    ] = None,
    *,
    runtime: Annotated[Runtime, typer.Option(help="Who makes the cgroup.")] = Runtime.BARE,
    container: Annotated[
        str | None, typer.Option(help="Take charge of this Docker container instead.")
    ] = None,
    pid: Annotated[
        int | None, typer.Option(help="Take charge of this process tree instead.")
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Its id; one is made up otherwise.")
    ] = None,
    name: Annotated[str, typer.Option(help="A name to recognise it by.")] = "",
    memory: Annotated[
        str | None, typer.Option(help="The most memory for its calls, such as 2g.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(help="-100 to 100: the highest that its calls may have.")
    ] = None,
    undeclared: Annotated[
        Undeclared | None, typer.Option(help="What holds for commands that nobody declares.")
    ] = None,
) -> None:
    """Open a session for a command, a container, or a process tree."""
    from agentcg.cli.link import client

    given = [command or None, container, pid]
    if sum(one is not None for one in given) != 1:
        raise typer.BadParameter("give one of: -- COMMAND, --container, --pid")
    program = _program(command[0]) if command else None
    said = {"id": id_, "name": name, "priority": priority}
    body: dict[str, object] = {key: value for key, value in said.items() if value is not None}
    if undeclared is not None:
        body["undeclared"] = undeclared.value
    if memory is not None:
        body["budget"] = {"memory": memory}
    if container is not None:
        body |= {"runtime": "docker", "container": container}
    else:
        body["runtime"] = runtime.value
        # A session of one's own is opened by the caller's cgroup, which no number can stand for.
        if runtime is not Runtime.SELF:
            body["pid"] = os.getpid() if pid is None else pid
    with client() as daemon:
        view = daemon.open_session(body)
    if command and program:
        # The command owns stdout.
        print(f"agentcg: session {view.session.id}", file=sys.stderr, flush=True)  # noqa: T201
        os.execv(program, command)  # noqa: S606 - no shell, and that is the purpose
    output.line(view.session.id)


def close(
    session: Annotated[str, typer.Argument(help="The session's id.")],
    form: FormatOption = Format.TABLE,
) -> None:
    """Close a session: its calls are killed, its cgroup is left as it was found."""
    from agentcg.cli.link import client

    with client() as daemon:
        view = daemon.close_session(session)
    if form is Format.JSON:
        output.json(view)
    else:
        output.line(f"{view.session.id} is closed")


def _row(view: "SessionView") -> Sequence[str]:
    session = view.session
    return (
        session.id,
        session.runtime.value,
        str(view.open_calls),
        size(view.memory),
        size(view.limit),
        str(session.priority),
        session.name or session.container or NONE,
    )


def _flat(view: "SessionView") -> Sequence[object]:
    session = view.session
    return (
        *(session.id, session.name, session.runtime.value, session.container, session.priority),
        *(view.open_calls, view.undeclared, view.memory, view.limit),
        *(view.calls_limit, view.agent_limit, session.created_at),
    )


def _program(name: str) -> str:
    # Looked up before the session is opened: from inside, this process could not close it again.
    found = shutil.which(name)
    if found is None:
        print(f"agentcg: {escape(name)}: command not found", file=sys.stderr)  # noqa: T201
        raise typer.Exit(127)
    return found
