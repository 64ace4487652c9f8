"""Commands about calls: ps, explain, kill, freeze, thaw."""

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agentcg.cli import output
from agentcg.cli.output import Format, FormatOption, Sheet, SheetOption
from agentcg.cli.render import NONE, size, span

if TYPE_CHECKING:
    from agentcg.client import Client
    from agentcg.model.explanation import Explanation
    from agentcg.model.view import CallView

CallArgument = Annotated[str, typer.Argument(help="A call's id, or an unambiguous beginning.")]
_COLUMNS = ("CALL", "SESSION", "STATE", "MEMORY", "LIMIT", "CPU", "TIME", "COMMAND")
_FLAT = (
    *("id", "session", "state", "tool", "command", "memory", "peak", "limit", "guarantee"),
    *("cpu", "throttled", "pids", "pressure", "declared_at", "started_at", "ended_at", "cause"),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (ps, explain, kill, freeze, thaw):
        app.command()(command)


def ps(
    *,
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="Closed calls that are remembered, too.")
    ] = False,
    form: SheetOption = Sheet.TABLE,
) -> None:
    """List calls, with what they use now."""
    from agentcg.cli.link import client

    with client() as daemon:
        views = daemon.calls(everything=everything)
    match form:
        case Sheet.JSON:
            output.json(views)
        case Sheet.CSV:
            output.csv(_FLAT, map(_flat, views))
        case Sheet.TABLE:
            output.table(_COLUMNS, [row(view) for view in views], right=(3, 4, 5, 6))


def explain(call: CallArgument, form: FormatOption = Format.TABLE) -> None:
    """Tell why a call fared as it did.

    When what happened, its limits against what it used, who held how much of the pool while it was
    pressed, what was decided, and what would be decided now.
    """
    from agentcg.cli import evidence
    from agentcg.cli.link import client

    with client() as daemon:
        found = _explanation(daemon, call)
    if form is Format.JSON:
        output.json(found)
    else:
        evidence.show(found)


def kill(call: CallArgument, form: FormatOption = Format.TABLE) -> None:
    """Kill every process of a call."""
    _act("kill", call, form)


def freeze(call: CallArgument, form: FormatOption = Format.TABLE) -> None:
    """Stop every process of a call."""
    _act("freeze", call, form)


def thaw(call: CallArgument, form: FormatOption = Format.TABLE) -> None:
    """Let a frozen call go on."""
    _act("thaw", call, form)


def row(view: "CallView") -> Sequence[str]:
    """One line of `ps`."""
    call, usage = view.call, view.usage
    began = call.started_at or call.declared_at
    return (
        call.id,
        call.session,
        call.state.value,
        size(usage.memory),
        size(call.grant.memory_limit),
        NONE if usage.cpu is None else span(usage.cpu),
        span(max(0.0, (call.ended_at or time.time()) - began)),
        call.intent.command or call.intent.tool,
    )


def _flat(view: "CallView") -> Sequence[object]:
    call, usage, grant = view.call, view.usage, view.call.grant
    return (
        *(call.id, call.session, call.state.value, call.intent.tool, call.intent.command),
        *(usage.memory, usage.peak, grant.memory_limit, grant.memory_guarantee),
        *(usage.cpu, usage.throttled, usage.pids, usage.pressure),
        *(call.declared_at, call.started_at, call.ended_at),
        None if call.outcome is None else call.outcome.cause.value,
    )


def _explanation(daemon: "Client", call: str) -> "Explanation":
    from agentcg.cli.link import find
    from agentcg.errors import NotFoundError

    with contextlib.suppress(NotFoundError):
        # However old: what is listed are the last ones.
        return daemon.explanation(call)
    return daemon.explanation(find(daemon, call).call.id)


def _act(verb: str, call: str, form: Format) -> None:
    from agentcg.cli.link import client, find

    with client() as daemon:
        view = getattr(daemon, verb)(find(daemon, call).call.id)
    if form is Format.JSON:
        output.json(view)
    else:
        output.line(f"{view.call.id} is {view.call.state.value}")
